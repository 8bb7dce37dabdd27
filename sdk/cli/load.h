// Opens what a command works on, as its options say.
#pragma once

#include "sdk/assistant/open.h"
#include "sdk/cli/commands.h"

namespace wenqu::cli {

// Shows the loading of a model on standard error, where that is a terminal.
Result<engine::LoadOptions> load_options(const ModelOptions& options);
engine::TimelineOptions timeline_options(const ModelOptions& options);

Result<assistant::OpenedAssistant> load_assistant(const std::string& index, const ModelOptions& model);
Result<std::shared_ptr<const engine::Model>> load_model(const ModelOptions& model);

}  // namespace wenqu::cli
