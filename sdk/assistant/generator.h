// The interface that answers "given these passages, what shall the answer say?". Behind it stand
// our engine, and the extractive answerer that needs no model; a remote model may later. Deep mode,
// citations and budgets are written against it, so they work with each.
//
// Thread safety: a Generator may start any number of generations at once, from any thread; one
// Generation belongs to one thread at a time and must not outlive its Generator.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/cancel.h"
#include "base/status.h"
#include "sdk/assistant/asked_question.h"
#include "sdk/assistant/conversation.h"
#include "sdk/assistant/event.h"
#include "sdk/assistant/language.h"
#include "sdk/assistant/request.h"

namespace wenqu::assistant {

struct GenerationTask {
  const AskRequest* request = nullptr;          // outlives the generation
  AskedQuestion asked;                          // its question, with what that leans on
  Conversation earlier;                         // what was asked and answered before
  Language language = Language::english;
  std::span<const Evidence* const> evidence;    // best first; what the model was shown in earlier turns among them
  std::string today;                            // ISO date, told to the model
  bool may_search = false;                      // the model may ask for searches while it thinks
};

// What a generation tells while it runs. Texts are whole UTF-8 characters. Return false to pause:
// run() returns, and goes on where it stopped when called again.
class GenerationSink {
 public:
  virtual ~GenerationSink() = default;
  virtual bool on_thinking(std::string_view text) = 0;
  virtual bool on_thinking_end() = 0;   // at once, not when the answer comes: much may have to be read before
  virtual bool on_answer(std::string_view text) = 0;
  virtual bool on_prefill(size_t done, size_t total) = 0;
  virtual void on_notice(const Notice& notice) = 0;
};

enum class GenerationEnd { finished, paused, max_tokens };

class Generation {
 public:
  virtual ~Generation() = default;
  // Errors: cancelled, deadline_exceeded, out_of_memory, limit_exceeded, corrupt, internal.
  virtual Result<GenerationEnd> run(GenerationSink& sink, const CancelToken& cancel) = 0;
  // Puts newly found passages into the running thought. Only while paused in thinking.
  virtual Status add_evidence(std::string_view query, std::span<const Evidence* const> found,
                              const CancelToken& cancel) = 0;
  // Tokens so far; all zero where there are no tokens.
  virtual Usage usage() const = 0;
  // What the next question of the conversation is to be put behind.
  virtual PromptRecord prompt() const { return {}; }
};

class Generator {
 public:
  virtual ~Generator() = default;
  virtual const std::string& name() const = 0;
  // The answer is made of the sources' own sentences, and there is no thinking of its own.
  virtual bool is_extractive() const = 0;
  // A deep answer comes with thinking of its own; without, the searches are told as the thinking.
  virtual bool thinks() const = 0;
  virtual Result<std::unique_ptr<Generation>> start(const GenerationTask& task) = 0;
};

}  // namespace wenqu::assistant
