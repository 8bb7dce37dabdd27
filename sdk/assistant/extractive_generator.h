// Answers without a model: the sentences of the sources that support the question best, each with
// its citation, plainly marked as an extract. Where nothing supports an answer, it says so.
//
// Thread safety: as Generator.
#pragma once

#include <memory>

#include "retrieval/retriever.h"
#include "sdk/assistant/generator.h"

namespace wenqu::assistant {

class ExtractiveGenerator : public Generator {
 public:
  explicit ExtractiveGenerator(std::shared_ptr<const retrieval::Retriever> retriever)
      : retriever_(std::move(retriever)) {}

  const std::string& name() const override { return name_; }
  bool is_extractive() const override { return true; }
  bool thinks() const override { return false; }
  Result<std::unique_ptr<Generation>> start(const GenerationTask& task) override;

 private:
  std::shared_ptr<const retrieval::Retriever> retriever_;
  std::string name_ = "extractive";
};

}  // namespace wenqu::assistant
