// Puts an assistant together from an index and, if there is one, a model file.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/status.h"
#include "engine/draft/drafter.h"
#include "engine/timeline.h"
#include "retrieval/index.h"
#include "sdk/assistant/assistant.h"

namespace wenqu::assistant {

struct OpenOptions {
  std::string index_directory;       // or the address of a cluster's index
  retrieval::RemoteOptions remote;   // how that is reached
  std::string model_path;            // empty: answers are extracted from the sources
  engine::LoadOptions model;
  std::function<void(const engine::ModelInfo&)> on_model;   // called when it is loaded; empty: nobody wants to know
  engine::TimelineOptions timeline;
  engine::DraftOptions drafts;
  retrieval::IndexModels search;     // what searches use besides words
  // Before a question the index's newest commit is looked for, at most once a second. When that cannot be read, the one before
  // goes on being searched, and this is told. Empty: the host refreshes the index.
  std::function<void(const Status&)> follow_commits;
  bool model_ranks = false;          // the model of `model_path` also ranks the best hits again, in the place of search.rerank
};

struct OpenedAssistant {
  std::shared_ptr<retrieval::Index> index;
  std::shared_ptr<const Assistant> assistant;
};

// Whether one file has both names.
bool is_same_file(const std::string& a, const std::string& b);

// Errors: those of Index::open and Model::load.
Result<OpenedAssistant> open_assistant(const OpenOptions& options);

}  // namespace wenqu::assistant
