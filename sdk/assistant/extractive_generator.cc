#include "sdk/assistant/extractive_generator.h"

#include "sdk/assistant/citation.h"
#include "sdk/assistant/evidence_pair.h"
#include "sdk/assistant/sentence_choice.h"

namespace wenqu::assistant {
namespace {

constexpr size_t kQuickSentences = 3, kQuickDocuments = 3;
constexpr size_t kDeepSentences = 8, kDeepDocuments = 5;

class ExtractiveGeneration : public Generation {
 public:
  ExtractiveGeneration(std::shared_ptr<const retrieval::Retriever> retriever, const GenerationTask& task)
      : retriever_(std::move(retriever)), task_(task), evidence_(task.evidence.begin(), task.evidence.end()) {}

  Result<GenerationEnd> run(GenerationSink& sink, const CancelToken& cancel) override {
    const bool deep = task_.request->mode == Mode::deep;
    std::vector<const Evidence*> needed;
    if (deep) {
      WENQU_ASSIGN_OR_RETURN(needed, find_evidence_pair(*retriever_, task_.asked.query(), evidence_, cancel));
    }
    WENQU_ASSIGN_OR_RETURN(const SentenceChoice choice,
                           choose_sentences(*retriever_, task_.asked, evidence_, needed, deep ? kDeepSentences : kQuickSentences,
                                            deep ? kDeepDocuments : kQuickDocuments, cancel));
    const bool chinese = task_.language == Language::chinese;
    if (choice.sentences.empty()) {
      sink.on_notice({"no_evidence", chinese ? "没有找到支持答案的内容" : "nothing found supports an answer"});
      sink.on_answer(chinese ? "没有找到能回答这个问题的内容。" : "Nothing was found that answers this question.");
      return GenerationEnd::finished;
    }
    sink.on_notice({"extractive", chinese ? "答案由来源原句摘录而成，未经模型生成"
                                          : "the answer is extracted from the sources, no model wrote it"});
    if (!sink.on_answer(chinese ? "【原文摘录】" : "[Extract from the sources]")) return GenerationEnd::paused;
    for (const ChosenSentence& sentence : choice.sentences) {
      if (cancel.cancelled()) return cancel.status();
      if (!sink.on_answer("\n" + without_marks(sentence.text) + citation_mark(sentence.evidence->number))) return GenerationEnd::paused;
    }
    return GenerationEnd::finished;
  }

  Status add_evidence(std::string_view, std::span<const Evidence* const> found, const CancelToken&) override {
    evidence_.insert(evidence_.end(), found.begin(), found.end());
    return {};
  }

  Usage usage() const override { return {}; }

 private:
  std::shared_ptr<const retrieval::Retriever> retriever_;
  GenerationTask task_;
  std::vector<const Evidence*> evidence_;
};

}  // namespace

Result<std::unique_ptr<Generation>> ExtractiveGenerator::start(const GenerationTask& task) {
  return std::unique_ptr<Generation>(std::make_unique<ExtractiveGeneration>(retriever_, task));
}

}  // namespace wenqu::assistant
