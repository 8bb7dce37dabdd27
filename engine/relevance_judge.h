// Scores how well texts answer a question with a generative model: the model is asked whether the text meets the
// question, and the score is how much higher the logit of "yes" is than that of "no" where its answer begins. This is the
// form that Qwen3-Reranker was trained with (Zhang et al. 2025, "Qwen3 Embedding", section 2; the prompt is the published
// one); other chat models are asked the same in the form of their own template, without thinking.
//
// What all prompts begin with, up to the question, is read once and kept in the model's prefix cache; several texts are
// read at a time, in common batches, and what was read of them is forgotten.
//
// Thread safety: all members from any thread.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/cancel.h"
#include "base/status.h"
#include "engine/timeline.h"

namespace wenqu::engine {

struct RelevanceJudgeOptions {
  std::string instruction = "Given a web search query, retrieve relevant passages that answer the query";
  size_t max_tokens = 0;          // of a prompt; 0: as many as the model can, 8192 at most. Longer texts are cut.
  size_t texts_at_once = 8;       // each on a thread of its own, while score() runs; at least 1
  TimelineOptions timeline = {};
};

class RelevanceJudge {
 public:
  // Errors: unsupported (no chat template that is known, a context too small, a model whose "yes" and "no" cannot be told
  // apart or whose file has lost them), corrupt.
  static Result<std::shared_ptr<const RelevanceJudge>> create(std::shared_ptr<const Model> model, RelevanceJudgeOptions options = {});

  // A number for each text, higher is better; its logistic function is the probability of "yes" against "no". Any bytes
  // are accepted as text, and none of them becomes a control token. Errors: cancelled, deadline_exceeded, out_of_memory,
  // internal (figures that are no numbers).
  Result<std::vector<float>> score(const std::string& query, std::span<const std::string> texts, const CancelToken& cancel) const;

 private:
  RelevanceJudge(std::shared_ptr<const Model> model, ChatTemplate chat, RelevanceJudgeOptions options);
  Status find_answers();
  std::vector<TokenId> prompt(std::string_view query, std::string_view text) const;
  // Of the text so much that the prompt is not too long.
  std::vector<TokenId> fitting_prompt(std::string_view query, std::string_view text) const;
  Result<float> read_answer(Timeline& timeline, std::span<const TokenId> rest, const CancelToken& cancel) const;

  const std::shared_ptr<const Model> model_;
  const ChatTemplate chat_;
  RelevanceJudgeOptions options_;
  size_t room_ = 0;               // tokens of a prompt for question and text
  TokenId yes_ = 0, no_ = 0;
};

}  // namespace wenqu::engine
