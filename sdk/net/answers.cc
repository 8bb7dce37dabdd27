#include "sdk/net/answers.h"

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <utility>

#include "sdk/protocol/event_json.h"

namespace wenqu::net {
namespace {

// As an event, but the client gets no path or address of the server's.
std::string failure_to_json(const assistant::Event& event) {
  const assistant::Response& whole = *event.response;
  assistant::Response response;   // without the conversation's evidence, which is much: the items point into the other's
  response.id = whole.id, response.previous_id = whole.previous_id, response.created_at = whole.created_at;
  response.mode = whole.mode, response.state = whole.state, response.model = whole.model, response.extractive = whole.extractive;
  response.items = whole.items, response.usage = whole.usage, response.timings = whole.timings, response.metadata = whole.metadata;
  response.error = Status(whole.error.code(), whole.error.message());
  assistant::Event told = event;
  told.response = &response;
  return protocol::event_to_json(told);
}

}  // namespace

struct Answers::Answer {
  assistant::AskRequest request;
  std::string stream_id;
  CancelSource cancel;
  std::string response_id;   // known from its first event on
  bool submitted = false;    // the pool has it; before, it waits for another of its stream
  bool open = true;
};

Answers::Answers(std::shared_ptr<const assistant::Assistant> assistant, WorkerPool& pool,
                 std::shared_ptr<Outbox> outbox, AnswerLimits limits, std::function<void()> on_idle,
                 std::function<void(std::string)> log_failure)
    : assistant_(std::move(assistant)),
      pool_(pool),
      outbox_(std::move(outbox)),
      limits_(limits),
      on_idle_(std::move(on_idle)),
      log_failure_(std::move(log_failure)) {}

Status Answers::create(assistant::AskRequest request, std::string stream_id) {
  auto answer = std::make_shared<Answer>();
  answer->request = std::move(request);
  answer->request.asked_at = std::chrono::steady_clock::now();
  answer->stream_id = std::move(stream_id);
  std::lock_guard lock(mutex_);
  if (closed_) return Status(StatusCode::busy, "the server is stopping");
  if (open_ >= limits_.per_connection)
    return Status(StatusCode::busy, fmt::format("this connection has {} answers open already: wait for one to end",
                                                limits_.per_connection));
  const bool stream_is_busy = std::any_of(answers_.begin(), answers_.end(),
                                          [&](const auto& other) { return other->stream_id == answer->stream_id; });
  if (!stream_is_busy) {
    WENQU_RETURN_IF_ERROR(pool_.submit(job(answer), this, answer.get()));
    answer->submitted = true;
  }
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

Status Answers::cancel_stream(const std::string& stream_id) {
  bool found = false;
  for (const std::string& id : stop(&stream_id, found))
    tell(Status(StatusCode::cancelled, "the question was cancelled before its answer began"), id);
  if (!found) return Status(StatusCode::not_found, "no answer of this connection has this id and runs or waits", "stream_id");
  return {};
}

void Answers::cancel_all() {
  bool found = false;
  for (const std::string& id : stop(nullptr, found))
    tell(Status(StatusCode::cancelled, "the server stops before the answer began"), id);
}

void Answers::abandon() {
  bool found = false;
  stop(nullptr, found);
}

std::vector<std::string> Answers::stop(const std::string* stream_id, bool& found) {
  std::vector<std::string> not_begun;
  std::lock_guard lock(mutex_);
  if (!stream_id) closed_ = true;
  for (auto next = answers_.begin(); next != answers_.end();) {
    Answer& answer = **next;
    if (stream_id && answer.stream_id != *stream_id) {
      ++next;
      continue;
    }
    found = true;
    if (answer.submitted && !pool_.drop(&answer)) {
      answer.cancel.cancel();
      ++next;
      continue;
    }
    not_begun.push_back(std::move(answer.stream_id));
    --open_;
    next = answers_.erase(next);
  }
  return not_begun;
}

void Answers::tell(const Status& error, const std::string& stream_id) {
  // One that is only behind with its answers may make some errors.
  constexpr size_t kBeyond = size_t{16} << 10;
  const auto retry_after = error.code() == StatusCode::busy ? limits_.retry_after : std::chrono::milliseconds{};
  outbox_->push(protocol::with_stream_id(protocol::error_to_json(error, retry_after.count()), stream_id), {}, kBeyond);
}

bool Answers::idle() const {
  std::lock_guard lock(mutex_);
  return answers_.empty();
}

WorkerPool::Job Answers::job(std::shared_ptr<Answer> answer) {
  return [self = shared_from_this(), answer = std::move(answer)] {
    for (std::shared_ptr<Answer> next = answer; next; next = self->finish(next)) {
      try {
        self->run(*next);
      } catch (...) {   // no memory even to tell so: the end of the connection does
        self->outbox_->close();
      }
    }
  };
}

void Answers::run(Answer& answer) {
  const auto sink = [&](const assistant::Event& event) {
    const bool failed = event.type == assistant::Event::Type::failed;
    if (failed) report(event.response->error, event.response->id);
    std::string json = failed ? failure_to_json(event) : protocol::event_to_json(event);
    {
      std::lock_guard lock(mutex_);
      answer.response_id = event.response->id;
      // Whoever has seen the final event may ask again, even before this thread has tidied up.
      if (event.is_final() && std::exchange(answer.open, false)) --open_;
    }
    return send(protocol::with_stream_id(std::move(json), answer.stream_id));
  };
  Status status;
  try {
    status = assistant_->ask(answer.request, sink, answer.cancel.token());
  } catch (const std::bad_alloc&) {
    status = Status(StatusCode::out_of_memory, "not enough memory to answer");
  } catch (const std::exception& error) {
    status = Status(StatusCode::internal, error.what());
  }
  if (status) return;
  // The others are the client's own mistakes.
  if (status.code() == StatusCode::out_of_memory || status.code() == StatusCode::internal) report(status, answer.response_id);
  send(protocol::with_stream_id(protocol::error_to_json(status), answer.stream_id));
}

// A client that is behind costs the others no thread, if it can be helped.
bool Answers::send(std::string json) {
  if (outbox_->try_push(json)) return true;
  const WorkerPool::Aside aside(pool_, this);
  return outbox_->push(std::move(json), aside.granted() ? limits_.send_timeout : std::min(limits_.send_timeout, limits_.crowded_send_timeout));
}

// A line for which there is no memory is left out: the client is to be told all the same.
void Answers::report(const Status& status, const std::string& response_id) noexcept {
  try {
    std::string line = fmt::format("an answer failed: {}{}{}{}", status_code_name(status.code()), status.where().empty() ? "" : " at ",
                                   status.where(), response_id.empty() ? "" : " (" + response_id + ")");
    std::replace_if(line.begin(), line.end(), [](unsigned char c) { return c < ' '; }, ' ');
    log_failure_(std::move(line));
  } catch (const std::exception&) {
  }
}

std::shared_ptr<Answers::Answer> Answers::finish(const std::shared_ptr<Answer>& answer) noexcept {
  bool now_idle = false;
  {
    std::lock_guard lock(mutex_);
    if (std::exchange(answer->open, false)) --open_;
    answers_.remove(answer);
    now_idle = answers_.empty();
    const auto next = std::find_if(answers_.begin(), answers_.end(),
                                   [&](const auto& other) { return other->stream_id == answer->stream_id; });
    if (next != answers_.end()) {
      (*next)->submitted = true;
      try {
        pool_.succeed(job(*next), this, next->get());
      } catch (const std::exception&) {   // no memory: it gets this one's turn
        return *next;
      }
    }
  }
  if (now_idle) on_idle_();
  return nullptr;
}

}  // namespace wenqu::net
