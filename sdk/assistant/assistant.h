// Answers questions over a collection: retrieves, composes, generates, cites. The one place that
// knows both retrieval and generation.
//
// Thread safety: ask may be called from any number of threads at once. The sink is called on the
// calling thread, in order, with no lock held.
#pragma once

#include <functional>
#include <memory>

#include "base/cancel.h"
#include "base/status.h"
#include "retrieval/retriever.h"
#include "sdk/assistant/conversation.h"
#include "sdk/assistant/event.h"
#include "sdk/assistant/generator.h"
#include "sdk/assistant/request.h"

namespace wenqu::assistant {

// Of answers that are kept for the next question: some hundreds with their passages.
inline constexpr uint64_t kConversationBytes = uint64_t{32} << 20;

class Assistant {
 public:
  // Called for each question before it is searched for, with its token; may be called from several threads at once.
  using BeforeEach = std::function<void(const CancelToken&)>;

  Assistant(std::shared_ptr<const retrieval::Retriever> retriever, std::shared_ptr<Generator> generator, BeforeEach before_each = {})
      : retriever_(std::move(retriever)),
        generator_(std::move(generator)),
        before_each_(std::move(before_each)),
        memory_(std::make_unique<ConversationMemory>(kConversationBytes)) {}

  // Errors of the request itself (see validate; not_found of previous_response_id) come back before any event. From then on every
  // outcome is told as events, the last of them completed, incomplete or failed, and ask returns ok.
  Status ask(const AskRequest& request, const EventSink& sink, const CancelToken& cancel = {}) const;

  // The same in two steps: what the request goes on from, and its answer. Errors: not_found.
  Result<Conversation> recall(const AskRequest& request) const;
  Status ask(const AskRequest& request, Conversation earlier, const EventSink& sink, const CancelToken& cancel = {}) const;

  const retrieval::Retriever& retriever() const { return *retriever_; }
  const Generator& generator() const { return *generator_; }

 private:
  std::shared_ptr<const retrieval::Retriever> retriever_;
  std::shared_ptr<Generator> generator_;
  BeforeEach before_each_;
  const std::unique_ptr<ConversationMemory> memory_;   // of the answers given, for the questions that go on from them
};

}  // namespace wenqu::assistant
