// Chooses the sentences that answer a question best from the passages found for it.
//
// A sentence counts by the question's words it holds itself, those its passage and title hold around
// it, and the rank of its passage; one that has a number or a date where the question asks for one
// counts more. Sentences found by a follow-up search are held to that search's words, since they
// answer its part of the question.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/cancel.h"
#include "retrieval/retriever.h"
#include "sdk/assistant/asked_question.h"
#include "sdk/assistant/event.h"

namespace wenqu::assistant {

struct ChosenSentence {
  const Evidence* evidence = nullptr;
  std::string text;
  double score = 0;   // 0 to about 2
};

struct SentenceChoice {
  std::vector<ChosenSentence> sentences;   // the best document's first, in the order of its text; empty when nothing supports an answer
  double support = 0;                      // 0 to 1, of the question by all the chosen passages
};

// Up to max_sentences, and one or two that stand between two of these. `needed`: passages among the evidence whose best sentence is taken in any case.
// Errors: cancelled, or the retriever's.
Result<SentenceChoice> choose_sentences(const retrieval::Retriever& retriever, const AskedQuestion& asked,
                                        std::span<const Evidence* const> evidence,
                                        std::span<const Evidence* const> needed, size_t max_sentences,
                                        size_t max_documents, const CancelToken& cancel);

}  // namespace wenqu::assistant
