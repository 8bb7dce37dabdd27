#include "sdk/assistant/conversation.h"

#include <algorithm>
#include <new>
#include <utility>

namespace wenqu::assistant {
namespace {

constexpr size_t kMostTurns = 64;   // of a conversation; the oldest are forgotten

uint64_t bytes_of(const Turn& turn) {
  uint64_t bytes = sizeof(Turn) + turn.question.size() + turn.subject.size() + turn.answer.size() + turn.prompt.user_message.size() +
                   turn.prompt.shown.size() * sizeof(int);
  for (const Evidence& evidence : turn.evidence) {
    const retrieval::Hit& hit = evidence.hit;
    bytes += sizeof(Evidence) + evidence.query.size() + hit.passage.text.size() + hit.passage.document_id.size() + hit.title.size() +
             hit.url.size() + hit.author.size() + hit.snippet.size() + hit.matches.size() * sizeof(retrieval::CharRange);
    for (const auto& [name, value] : hit.attributes) bytes += name.size() + value.size() + 64;
    for (const std::string& copy : hit.copies) bytes += copy.size() + sizeof(copy);
  }
  return bytes;
}

// In one order, each once: who asks is the same however the list is written.
ConversationMemory::Principals in_order(ConversationMemory::Principals principals) {
  if (principals) {
    std::sort(principals->begin(), principals->end());
    principals->erase(std::unique(principals->begin(), principals->end()), principals->end());
  }
  return principals;
}

}  // namespace

void ConversationMemory::keep(const std::string& response_id, const Conversation& earlier, Turn turn, Principals principals) noexcept {
  std::list<Kept> forgotten;   // freed without the lock
  try {
    const uint64_t bytes = bytes_of(turn);
    if (bytes > budget_) return;
    std::list<Kept> one;
    Kept& kept = one.emplace_back(Kept{response_id, {}, in_order(std::move(principals))});
    size_t passed_over = earlier.size();
    for (uint64_t held = bytes; passed_over > 0 && earlier.size() - passed_over + 1 < kMostTurns; --passed_over)
      if ((held += bytes_of(*earlier[passed_over - 1])) > budget_) break;
    kept.conversation.reserve(earlier.size() - passed_over + 1);
    kept.conversation.assign(earlier.begin() + static_cast<ptrdiff_t>(passed_over), earlier.end());
    auto owned = std::make_unique<Turn>(std::move(turn));
    *bytes_ += bytes;
    kept.conversation.push_back(std::shared_ptr<const Turn>(owned.release(), [count = bytes_, bytes](const Turn* old) {
      delete old;
      *count -= bytes;
    }));

    const std::lock_guard lock(mutex_);
    by_id_.emplace(response_id, one.begin());
    kept_.splice(kept_.begin(), one);
    // What a later turn of the same conversation holds is freed with that one only.
    uint64_t alive = *bytes_;
    while (alive > budget_ && kept_.size() > 1) {
      const Kept& last = kept_.back();
      for (const auto& old : last.conversation)
        if (old.use_count() == 1) alive -= std::min(alive, bytes_of(*old));
      by_id_.erase(last.id);
      forgotten.splice(forgotten.begin(), kept_, std::prev(kept_.end()));
    }
  } catch (const std::bad_alloc&) {   // then the next question has to do without it
  }
}

Result<Conversation> ConversationMemory::find(const std::string& response_id, const Principals& principals) {
  const Principals who = in_order(principals);
  const std::lock_guard lock(mutex_);
  const auto found = by_id_.find(response_id);
  if (found == by_id_.end() || found->second->principals != who)
    return Status(StatusCode::not_found, "no answer of this id is kept (any more): ask without it, or give the earlier messages themselves",
                  "previous_response_id");
  kept_.splice(kept_.begin(), kept_, found->second);
  return found->second->conversation;
}

}  // namespace wenqu::assistant
