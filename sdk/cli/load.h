// Opens what a command works on, as its options say.
#pragma once

#include "sdk/assistant/open.h"
#include "sdk/cli/commands.h"

namespace wenqu::cli {

// Shows the loading of a model on standard error, where that is a terminal.
Result<engine::LoadOptions> load_options(const ModelOptions& options);
engine::TimelineOptions timeline_options(const ModelOptions& options);

Result<retrieval::VocabularyChange> load_vocabulary(const VocabularyFlags& flags);
Result<retrieval::IndexModels> load_search_models(const SearchModelFlags& flags, int threads, int nice = 0);
Result<assistant::OpenedAssistant> load_assistant(const std::string& index, const RemoteFlags& remote, const ModelOptions& model, const SearchModelFlags& search,
                                                  std::function<void(const Status&)> follow_commits = {});
Result<std::shared_ptr<const engine::Model>> load_model(const ModelOptions& model, const CancelToken& cancel);

}  // namespace wenqu::cli
