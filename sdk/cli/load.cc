#include "sdk/cli/load.h"

#include <unistd.h>

#include <cstdio>

namespace wenqu::cli {

engine::LoadOptions load_options(const ModelOptions& options) {
  engine::LoadOptions load;
  load.threads = options.threads;
  load.memory_budget = options.memory_mib << 20;
  load.chat_template = options.chat_template;
  if (::isatty(STDERR_FILENO) == 1)
    load.progress = [](double fraction) {
      std::fprintf(stderr, fraction < 1 ? "\rloading the model: %3.0f%%" : "\r\033[K", fraction * 100);
      return true;
    };
  return load;
}

Result<assistant::OpenedAssistant> load_assistant(const std::string& index, const ModelOptions& model) {
  assistant::OpenOptions open;
  open.index_directory = index;
  open.model_path = model.path;
  open.model = load_options(model);
  return assistant::open_assistant(open);
}

Result<std::shared_ptr<const engine::Model>> load_model(const ModelOptions& model) {
  return engine::Model::load(model.path, load_options(model));
}

}  // namespace wenqu::cli
