// Answers with a model run by our own engine.
//
// Thread safety: as Generator; the model is shared, each generation has a timeline of its own.
#pragma once

#include <memory>
#include <string>

#include "engine/draft/drafter.h"
#include "engine/timeline.h"
#include "sdk/assistant/generator.h"

namespace wenqu::assistant {

class NativeGenerator : public Generator {
 public:
  // Errors: unsupported, when the model has no chat template we know.
  static Result<std::shared_ptr<NativeGenerator>> create(std::shared_ptr<const engine::Model> model,
                                                         const engine::TimelineOptions& timeline = {},
                                                         const engine::DraftOptions& drafts = {});

  const std::string& name() const override { return name_; }
  bool is_extractive() const override { return false; }
  bool thinks() const override { return engine::chat_template_thinks(chat_); }
  Result<std::unique_ptr<Generation>> start(const GenerationTask& task) override;

 private:
  NativeGenerator(std::shared_ptr<const engine::Model> model, engine::ChatTemplate chat, const engine::TimelineOptions& timeline,
                  const engine::DraftOptions& drafts);

  std::shared_ptr<const engine::Model> model_;
  engine::ChatTemplate chat_;
  engine::TimelineOptions timeline_;
  engine::DraftOptions drafts_;
  std::string name_;
};

}  // namespace wenqu::assistant
