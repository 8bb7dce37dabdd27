#include "sdk/net/answers.h"

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <utility>

#include "sdk/protocol/event_json.h"

namespace wenqu::net {

struct Answers::Answer {
  assistant::AskRequest request;
  std::string stream_id;
  CancelSource cancel;
  std::string response_id;   // known from its first event on
  bool open = true;
};

Answers::Answers(std::shared_ptr<const assistant::Assistant> assistant, WorkerPool& pool,
                 std::shared_ptr<Outbox> outbox, AnswerLimits limits, std::function<void()> on_idle)
    : assistant_(std::move(assistant)),
      pool_(pool),
      outbox_(std::move(outbox)),
      limits_(limits),
      on_idle_(std::move(on_idle)) {}

Status Answers::create(assistant::AskRequest request, std::string stream_id) {
  auto answer = std::make_shared<Answer>();
  answer->request = std::move(request);
  answer->stream_id = std::move(stream_id);
  std::lock_guard lock(mutex_);
  if (closed_) return Status(StatusCode::busy, "the server is stopping");
  if (open_ >= limits_.per_connection)
    return Status(StatusCode::busy, fmt::format("this connection has {} answers open already: wait for one to end",
                                                limits_.per_connection));
  const bool stream_is_busy = std::any_of(answers_.begin(), answers_.end(),
                                          [&](const auto& other) { return other->stream_id == answer->stream_id; });
  if (!stream_is_busy) WENQU_RETURN_IF_ERROR(pool_.submit(job(answer)));
  answers_.push_back(std::move(answer));
  ++open_;
  return {};
}

Status Answers::cancel(const std::string& response_id) {
  std::lock_guard lock(mutex_);
  for (const auto& answer : answers_) {
    if (answer->response_id != response_id) continue;
    answer->cancel.cancel();
    return {};
  }
  return Status(StatusCode::not_found, "no answer of this connection has this id and still runs", "response_id");
}

void Answers::cancel_all() {
  std::lock_guard lock(mutex_);
  closed_ = true;
  for (const auto& answer : answers_) answer->cancel.cancel();
}

bool Answers::idle() const {
  std::lock_guard lock(mutex_);
  return answers_.empty();
}

WorkerPool::Job Answers::job(std::shared_ptr<Answer> answer) {
  return [self = shared_from_this(), answer = std::move(answer)] {
    self->run(*answer);
    self->finish(answer);
  };
}

void Answers::run(Answer& answer) {
  const auto send = [&](std::string json) {
    return outbox_->push(protocol::with_stream_id(std::move(json), answer.stream_id), limits_.send_timeout);
  };
  const auto sink = [&](const assistant::Event& event) {
    std::string json = protocol::event_to_json(event);
    {
      std::lock_guard lock(mutex_);
      answer.response_id = event.response->id;
      // Whoever has seen the final event may ask again, even before this thread has tidied up.
      if (event.is_final() && std::exchange(answer.open, false)) --open_;
    }
    return send(std::move(json));
  };
  Status status;
  try {
    status = assistant_->ask(answer.request, sink, answer.cancel.token());
  } catch (const std::bad_alloc&) {
    status = Status(StatusCode::out_of_memory, "not enough memory to answer");
  } catch (const std::exception& error) {
    status = Status(StatusCode::internal, error.what());
  }
  if (!status && !send(protocol::error_to_json(status))) return;
}

void Answers::finish(const std::shared_ptr<Answer>& answer) {
  bool now_idle = false;
  {
    std::lock_guard lock(mutex_);
    if (std::exchange(answer->open, false)) --open_;
    answers_.remove(answer);
    now_idle = answers_.empty();
    const auto next = std::find_if(answers_.begin(), answers_.end(),
                                   [&](const auto& other) { return other->stream_id == answer->stream_id; });
    if (next != answers_.end()) pool_.succeed(job(*next));
  }
  if (now_idle) on_idle_();
}

}  // namespace wenqu::net
