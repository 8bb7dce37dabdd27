#include "sdk/assistant/conversation.h"

#include <algorithm>
#include <new>
#include <utility>

namespace wenqu::assistant {
namespace {

// Of a conversation. The oldest are forgotten, some at once: what follows is read behind the same beginning for some turns again.
constexpr size_t kMostTurns = 64, kKeptTurns = 48;

uint64_t bytes_of(const Turn& turn) {
  uint64_t bytes = sizeof(Turn) + 64 + turn.question.size() + turn.subject.size() + turn.answer.size() + turn.prompt.user_message.size() +
                   turn.prompt.shown.size() * sizeof(int);
  for (const Evidence& evidence : turn.evidence) {
    const retrieval::Hit& hit = evidence.hit;
    bytes += sizeof(Evidence) + evidence.query.size() + hit.passage.text.size() + hit.passage.document_id.size() + hit.title.size() +
             hit.url.size() + hit.author.size() + hit.published_at.size() + hit.collection.size() + hit.passage.hash.size() +
             hit.passage.marks.size() * sizeof(hit.passage.marks[0]) + hit.snippet.size() + hit.matches.size() * sizeof(retrieval::CharRange);
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
    std::list<Kept> one;
    Kept& kept = one.emplace_back(Kept{response_id, {}, in_order(std::move(principals)), 0});
    kept.bytes = sizeof(Kept) + response_id.size() * 2;
    if (kept.principals)
      for (const std::string& principal : *kept.principals) kept.bytes += sizeof(principal) + principal.size();
    uint64_t bytes = kept.bytes + bytes_of(turn);
    size_t passed_over = earlier.size();
    const size_t most = earlier.size() < kMostTurns ? kMostTurns : kKeptTurns;
    for (; passed_over > 0 && earlier.size() - passed_over + 1 < most; --passed_over)
      if ((bytes += bytes_of(*earlier[passed_over - 1])) > budget_) break;
    kept.conversation.reserve(earlier.size() - passed_over + 1);
    kept.conversation.assign(earlier.begin() + static_cast<ptrdiff_t>(passed_over), earlier.end());
    kept.conversation.push_back(std::make_shared<const Turn>(std::move(turn)));
    kept.bytes += kept.conversation.size() * sizeof(kept.conversation[0]);
    if (kept.bytes + bytes_of(*kept.conversation.back()) > budget_) return;

    const std::lock_guard lock(mutex_);
    for (const auto& held : kept.conversation) held_.try_emplace(held.get(), 0);
    by_id_.emplace(response_id, one.begin());
    // From here on nothing fails.
    bytes_ += kept.bytes;
    for (const auto& held : kept.conversation)
      if (held_.find(held.get())->second++ == 0) bytes_ += bytes_of(*held);
    kept_.splice(kept_.begin(), one);
    while (bytes_ > budget_ && kept_.size() > 1) forget_last(forgotten);
  } catch (const std::bad_alloc&) {   // then the next question has to do without it
  }
}

void ConversationMemory::forget_last(std::list<Kept>& forgotten) noexcept {
  const Kept& last = kept_.back();
  bytes_ -= last.bytes;
  for (const auto& turn : last.conversation) {
    const auto held = held_.find(turn.get());
    if (--held->second > 0) continue;
    bytes_ -= bytes_of(*turn);
    held_.erase(held);
  }
  by_id_.erase(last.id);
  forgotten.splice(forgotten.begin(), kept_, std::prev(kept_.end()));
}

uint64_t ConversationMemory::bytes() const {
  const std::lock_guard lock(mutex_);
  return bytes_;
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
