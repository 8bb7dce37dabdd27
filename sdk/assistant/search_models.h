// Brings the engine's embedding and reranking models to the searches, which know them as functions only.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/status.h"
#include "engine/relevance_judge.h"
#include "retrieval/index.h"

namespace wenqu::assistant {

struct SearchModelOptions {
  std::string embed_path;      // GGUF file of an embedding model; empty: none
  std::string rerank_path;     // GGUF file of a cross-encoder (pooling type rank) or of a generative model; empty: none
  // What goes before a question and a passage; as the model's makers have it, where they are known, if not given.
  std::optional<std::string> query_prefix, passage_prefix;
  int threads = 0;
  int nice = 0;
};

// The prefixes with which a family of models was trained, by the model's name: empty for one that is not known.
struct TextPrefixes {
  std::string query, passage;
};
TextPrefixes trained_prefixes(std::string_view model_name);

// A generative model as a reranking one.
retrieval::RerankFunction rerank_with(std::shared_ptr<const engine::RelevanceJudge> judge);

// Errors: those of engine::Embedder::load, engine::Model::load and engine::RelevanceJudge::create; invalid_argument, when a
// file is for the other use.
Result<retrieval::IndexModels> load_search_models(const SearchModelOptions& options);

}  // namespace wenqu::assistant
