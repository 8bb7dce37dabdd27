#include "sdk/assistant/open.h"

#include "sdk/assistant/extractive_generator.h"
#include "sdk/assistant/native_generator.h"

namespace wenqu::assistant {

Result<OpenedAssistant> open_assistant(const OpenOptions& options) {
  // The index first: it opens in milliseconds, so a wrong path is told before a model is loaded.
  WENQU_ASSIGN_OR_RETURN(auto opened, retrieval::Index::open(options.index_directory, retrieval::Index::Mode::read, {.models = options.search, .remote = options.remote}));
  OpenedAssistant result;
  result.index = std::move(opened);
  std::shared_ptr<Generator> generator;
  if (options.model_path.empty()) {
    generator = std::make_shared<ExtractiveGenerator>(result.index);
  } else {
    WENQU_ASSIGN_OR_RETURN(auto model, engine::Model::load(options.model_path, options.model));
    if (options.on_model) options.on_model(model->info());
    WENQU_ASSIGN_OR_RETURN(generator, NativeGenerator::create(std::move(model), options.timeline, options.drafts));
  }
  result.assistant = std::make_shared<const Assistant>(result.index, std::move(generator));
  return result;
}

}  // namespace wenqu::assistant
