// What was asked and answered before: a question may lean on it ("and on Saturdays?"), and the model reads it again.
//
// A response is kept under its id, with up to 63 turns before it, for as long as the memory's budget allows, the longest unused
// going first; the next question names it. Passages keep their numbers through a whole conversation, so a later answer may cite what an
// earlier search found, and the model need not be given it twice.
//
// Thread safety: ConversationMemory from any thread; turns are immutable once kept.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/status.h"
#include "sdk/assistant/event.h"

namespace wenqu::assistant {

// How a model was given a question: what it was told before stays the same to the letter in the next question's prompt, so
// that its KV cache holds there too.
struct PromptRecord {
  std::string user_message;    // empty: no model was asked
  std::vector<int> shown;      // numbers of the passages that stand in it
  size_t turns_before = 0;     // so many of the turns before it were in the prompt
  size_t with_passages = 0;    // the last so many of these as they had been asked, the others without their passages
};

struct Turn {
  std::string question;
  std::string subject;               // words that it is about, those it leaned on among them; empty: its own
  std::string answer;                // as it was shown, with its marks
  std::vector<Evidence> evidence;    // found for it first; those of earlier turns have the lower numbers
  int last_number = 0;               // of all evidence so far
  PromptRecord prompt;
};

// Oldest first.
using Conversation = std::vector<std::shared_ptr<const Turn>>;

class ConversationMemory {
 public:
  // Who may see an answer: nothing where access is not checked.
  using Principals = std::optional<std::vector<std::string>>;

  explicit ConversationMemory(uint64_t budget_bytes) : budget_(budget_bytes) {}

  // `earlier` and `turn` under the id of turn's response, unless memory is short.
  void keep(const std::string& response_id, const Conversation& earlier, Turn turn, Principals principals) noexcept;

  // Errors: not_found, also when it was kept for others than these principals.
  Result<Conversation> find(const std::string& response_id, const Principals& principals);

  uint64_t bytes() const;

 private:
  struct Kept {
    std::string id;
    Conversation conversation;
    Principals principals;
    uint64_t bytes = 0;   // but for the turns
  };
  void forget_last(std::list<Kept>& forgotten) noexcept;

  uint64_t budget_;
  mutable std::mutex mutex_;
  uint64_t bytes_ = 0;                             // each turn once
  std::list<Kept> kept_;                           // the longest unused last
  std::unordered_map<const Turn*, size_t> held_;   // by how many of them
  std::unordered_map<std::string, std::list<Kept>::iterator> by_id_;
};

}  // namespace wenqu::assistant
