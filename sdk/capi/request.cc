#include <atomic>
#include <cstddef>
#include <cstring>
#include <memory>
#include <system_error>
#include <thread>

#include "base/thread.h"
#include "sdk/capi/assistant.h"
#include "sdk/capi/event_queue.h"
#include "sdk/capi/guard.h"
#include "sdk/capi/options.h"
#include "sdk/protocol/event_json.h"
#include "sdk/protocol/request_json.h"

using namespace wenqu;
using namespace wenqu::capi;

namespace {

constexpr size_t kRequiredAskOptions = offsetof(wq_ask_options, filter_json);
static_assert(offsetof(wq_ask_options, history_json) + sizeof(wq_ask_options::history_json) == sizeof(wq_ask_options));

}  // namespace

struct wq_request {
  std::shared_ptr<const assistant::Assistant> assistant;
  assistant::AskRequest ask;
  assistant::Conversation earlier;
  wq_event_callback on_event = nullptr;
  void* user = nullptr;
  void (*destroy)(void*) = nullptr;
  CancelSource cancel;
  EventQueue queue;               // of a pulled request
  std::thread thread;

  std::mutex mutex;
  std::condition_variable ended_changed;
  bool ended = false;

  bool on_own_thread() const { return std::this_thread::get_id() == thread.get_id(); }

  // On the request's own thread.
  void run() {
    const auto sink = [this](const assistant::Event& event) {
      std::string json = protocol::event_to_json(event);
      if (!on_event) {
        queue.push(std::move(json));
        return true;
      }
      return on_event(json.c_str(), json.size(), user) == 0;
    };
    guarded([&] { return assistant->ask(ask, std::move(earlier), sink, cancel.token()); });
    if (destroy) destroy(user);
    if (!on_event) queue.close();
    const std::lock_guard lock(mutex);
    ended = true;
    ended_changed.notify_all();
  }
};

extern "C" {

wq_status wq_ask_options_init(wq_ask_options* options, uint32_t struct_size) {
  return guarded([&] { return init_options(options, struct_size, kRequiredAskOptions); });
}

wq_status wq_ask(wq_assistant* assistant, const wq_ask_options* given, wq_request** out) {
  return guarded([&]() -> Status {
    if (!out) return null_argument("out");
    *out = nullptr;
    if (!assistant) return null_argument("assistant");
    wq_ask_options options;
    WENQU_RETURN_IF_ERROR(copy_options(given, kRequiredAskOptions, options));
    if (!options.question) return null_argument("options.question");
    if (options.mode != WQ_MODE_QUICK && options.mode != WQ_MODE_DEEP)
      return Status(StatusCode::invalid_argument, "must be WQ_MODE_QUICK or WQ_MODE_DEEP", "options.mode");
    if (options.reserved != 0) return Status(StatusCode::unsupported, "must be 0", "options.reserved");
    auto request = std::make_unique<wq_request>();
    request->assistant = assistant->opened.assistant;
    assistant::AskRequest& ask = request->ask;
    const size_t length = options.question_length == 0 || options.question_length == WQ_NUL_TERMINATED
                              ? std::strlen(options.question)
                              : options.question_length;
    if (length > assistant::kMaxQuestionBytes) {
      // Told before the text is copied.
      return Status(StatusCode::limit_exceeded, "the question is longer than 16 KiB: shorten it, or index it",
                    "options.question");
    }
    ask.question.assign(options.question, length);
    ask.mode = options.mode == WQ_MODE_DEEP ? assistant::Mode::deep : assistant::Mode::quick;
    ask.passages = options.passages;
    ask.max_rounds = options.max_rounds;
    if (options.max_thinking_tokens) ask.max_thinking_tokens = options.max_thinking_tokens;
    if (options.max_answer_tokens) ask.max_answer_tokens = options.max_answer_tokens;
    ask.time_limit_seconds = options.time_limit_seconds;
    ask.seed = options.seed;
    ask.report_progress = options.report_progress != 0;
    if (options.filter_json)
      if (const Status read = protocol::parse_filter(options.filter_json, ask); !read) return read.at("options.filter_json");
    if (options.previous_response_id) ask.previous_response_id = options.previous_response_id;
    if (options.history_json)
      if (const Status read = protocol::parse_history(options.history_json, ask); !read) return read.at("options.history_json");
    WENQU_RETURN_IF_ERROR(assistant::validate(ask));
    WENQU_ASSIGN_OR_RETURN(request->earlier, request->assistant->recall(ask));
    request->on_event = options.on_event;
    request->user = options.user;
    if (!request->on_event) WENQU_RETURN_IF_ERROR(request->queue.open());
    // From here on the thread owns the duty to call destroy, so it is handed over last.
    request->destroy = options.destroy;
    wq_request* raw = request.get();
    // The thread must not look at itself before the handle knows it: it starts once the lock is free.
    std::unique_lock start(raw->mutex);
    try {
      raw->thread = start_thread([raw] {
        { const std::lock_guard started(raw->mutex); }
        raw->run();
      });
    } catch (const std::system_error& error) {
      return Status(StatusCode::out_of_memory, std::string("cannot start a thread: ") + error.what());
    }
    *out = request.release();
    return {};
  });
}

wq_status wq_request_next(wq_request* request, int32_t timeout_ms, wq_string** event) {
  return guarded([&]() -> Status {
    if (!event) return null_argument("event");
    *event = nullptr;
    if (!request) return null_argument("request");
    if (request->on_event)
      return Status(StatusCode::invalid_argument, "the events of this request go to its callback", "request");
    auto taken = std::make_unique<wq_string>();   // before the event leaves the queue: it must not be lost where memory is
    WENQU_ASSIGN_OR_RETURN(taken->text, request->queue.next(timeout_ms));
    *event = taken.release();
    return {};
  });
}

wq_status wq_request_fd(wq_request* request, int* fd) {
  return guarded([&]() -> Status {
    if (!fd) return null_argument("fd");
    *fd = -1;
    if (!request) return null_argument("request");
    if (request->on_event)
      return Status(StatusCode::invalid_argument, "the events of this request go to its callback", "request");
    *fd = request->queue.fd();
    return {};
  });
}

wq_status wq_request_cancel(wq_request* request) {
  return guarded([&]() -> Status {
    if (!request) return null_argument("request");
    request->cancel.cancel();
    return {};
  });
}

wq_status wq_request_wait(wq_request* request, int32_t timeout_ms) {
  return guarded([&]() -> Status {
    if (!request) return null_argument("request");
    if (request->on_own_thread())
      return Status(StatusCode::reentrant, "a request cannot wait for itself: call this from another thread");
    std::unique_lock lock(request->mutex);
    const auto ended = [&] { return request->ended; };
    if (timeout_ms < 0)
      request->ended_changed.wait(lock, ended);
    else if (!request->ended_changed.wait_for(lock, std::chrono::milliseconds(timeout_ms), ended))
      return Status(StatusCode::timeout, "the request has not ended within the given time");
    return {};
  });
}

wq_status wq_request_free(wq_request* request) {
  return guarded([&]() -> Status {
    if (!request) return {};
    if (request->on_own_thread())
      return Status(StatusCode::reentrant, "a request cannot be freed by its own callback: cancel it there, free it later");
    request->cancel.cancel();
    request->queue.let_go();
    request->thread.join();
    delete request;
    return {};
  });
}

}  // extern "C"
