// The answers one connection has asked for. Answers with the same stream_id come one after the other
// (so does everything from a client that names none); different streams run side by side.
//
// Thread safety: all members may be called from any thread. Every answer holds the Answers it
// belongs to until it has ended.
#pragma once

#include <chrono>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/cancel.h"
#include "sdk/assistant/assistant.h"
#include "sdk/net/outbox.h"
#include "sdk/net/worker_pool.h"

namespace wenqu::net {

struct AnswerLimits {
  size_t per_connection = 8;                        // asked for and not ended
  std::chrono::milliseconds send_timeout{30'000};   // then a client that takes nothing is given up
  std::chrono::milliseconds crowded_send_timeout{1'000};   // the same when no thread can take its answer's place
  std::chrono::milliseconds retry_after{5'000};     // told to a client that finds no room
};

class Answers : public std::enable_shared_from_this<Answers> {
 public:
  // `on_idle` is called, with no lock held, when the last answer has ended, and must not throw; `log_failure` with a line on each one
  // that failed, which has nothing of the client's in it. The pool must outlive this.
  Answers(std::shared_ptr<const assistant::Assistant> assistant, WorkerPool& pool, std::shared_ptr<Outbox> outbox,
          AnswerLimits limits, std::function<void()> on_idle, std::function<void(std::string)> log_failure);

  // Every event of the answer goes to the outbox. Errors: busy.
  Status create(assistant::AskRequest request, std::string stream_id);
  // Errors: not_found when no answer of this connection that still runs has the id.
  Status cancel(const std::string& response_id);
  // All of a stream: what runs ends soon, and tells so in its final event; instead of what has not begun there comes an error
  // `cancelled`. Errors: not_found when there is none.
  Status cancel_stream(const std::string& stream_id);
  // The same of all streams; from now on nothing new is taken.
  void cancel_all();
  // As cancel_all, when nobody is left to be told.
  void abandon();
  // Sends an error. Waits for nobody: a client that makes errors and does not read them is dropped.
  void tell(const Status& error, const std::string& stream_id);
  bool idle() const;

 private:
  struct Answer;
  WorkerPool::Job job(std::shared_ptr<Answer> answer);
  // The stream ids of the answers that had not begun. nullptr: of all streams.
  std::vector<std::string> stop(const std::string* stream_id, bool& found);
  void run(Answer& answer);
  bool send(std::string json);
  void report(const Status& status, const std::string& response_id) noexcept;
  // The next of its stream goes to the pool, or is given back to be run at once.
  std::shared_ptr<Answer> finish(const std::shared_ptr<Answer>& answer) noexcept;

  const std::shared_ptr<const assistant::Assistant> assistant_;
  WorkerPool& pool_;
  const std::shared_ptr<Outbox> outbox_;
  const AnswerLimits limits_;
  const std::function<void()> on_idle_;
  const std::function<void(std::string)> log_failure_;
  mutable std::mutex mutex_;
  std::list<std::shared_ptr<Answer>> answers_;   // in the order they were asked for
  size_t open_ = 0;                              // of them, those whose final event is yet to come
  bool closed_ = false;
};

}  // namespace wenqu::net
