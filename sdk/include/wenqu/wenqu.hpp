// wenqu for C++17 and later: move-only handles over wenqu.h. Ownership, threads and errors are as stated there;
// a failed call throws wenqu::Error on the caller's side, no exception passes through the library.
//
// What is asked for most has a form of its own here. For the rest the option structs of wenqu.h are taken as they are,
// and get() gives the handle that its functions take, which stays the object's.
//
// With C++20's names of members in braces (C++17 sets them one by one):
//
//   wenqu::Index index("notes.index");
//   index.add_json(R"({"id":"1","text":"The library closes at six."})");
//   index.commit();
//   wenqu::Assistant assistant({.index_directory = "notes.index"});
//   wenqu::Request request = assistant.ask("When does the library close?");
//   while (auto event = request.next()) std::cout << *event << '\n';
#ifndef WENQU_WENQU_HPP
#define WENQU_WENQU_HPP

#if __cplusplus < 201703L
#error "wenqu.hpp needs C++17: compile with -std=c++17 or later, or use wenqu.h"
#endif

#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>

#include "wenqu/wenqu.h"

namespace wenqu {

class Error : public std::runtime_error {
 public:
  Error(wq_status status, const char* message) : std::runtime_error(message), status_(status) {}
  wq_status status() const noexcept { return status_; }
  const char* name() const noexcept { return wq_status_name(status_); }

 private:
  wq_status status_;
};

namespace detail {

inline void check(wq_status status) {
  if (status != WQ_OK) throw Error(status, wq_last_error());
}

template <auto Free>
struct Deleter {
  template <typename Handle>
  void operator()(Handle* handle) const noexcept { static_cast<void>(Free(handle)); }
};

inline std::string take(wq_string* string) {
  const std::unique_ptr<wq_string, Deleter<wq_string_free>> owner(string);
  return std::string(wq_string_data(string), wq_string_length(string));
}

}  // namespace detail

// An index open for writing.
class Index {
 public:
  explicit Index(const std::string& directory) {
    wq_index* index = nullptr;
    detail::check(wq_index_open(directory.c_str(), &index));
    handle_.reset(index);
  }
  // With models for vectors (WQ_SEARCH_MODELS_INIT), which are copied; the functions in it are called as long as the
  // index is open.
  Index(const std::string& directory, const wq_search_models& models) {
    wq_index* index = nullptr;
    detail::check(wq_index_open_with_models(directory.c_str(), &models, &index));
    handle_.reset(index);
  }
  void add_json(std::string_view json) { detail::check(wq_index_add_json(handle_.get(), json.data(), json.size())); }

  struct Counts {
    uint64_t documents = 0;
    uint64_t problems = 0;
  };
  Counts add_path(const std::string& path, const char* source = nullptr) {
    Counts counts;
    detail::check(wq_index_add_path(handle_.get(), path.c_str(), source, &counts.documents, &counts.problems));
    return counts;
  }
  void remove(std::string_view id) { detail::check(wq_index_remove(handle_.get(), id.data(), id.size())); }
  void commit() { detail::check(wq_index_commit(handle_.get())); }
  uint64_t count() const {
    uint64_t documents = 0;
    detail::check(wq_index_count(handle_.get(), &documents));
    return documents;
  }
  wq_index* get() const noexcept { return handle_.get(); }

 private:
  std::unique_ptr<wq_index, detail::Deleter<wq_index_close>> handle_;
};

// One question being answered. Its events are pulled, or go to the on_event it was asked with, which must not destroy or
// replace it: from there it can only be cancelled.
class Request {
 public:
  // The next event as JSON, waiting for it; nothing after the final one.
  std::optional<std::string> next() { return next(-1, nullptr); }
  // Waits timeout_ms at most; `timed_out` tells a wait in vain from the end.
  std::optional<std::string> next(int32_t timeout_ms, bool* timed_out) {
    wq_string* event = nullptr;
    const wq_status status = wq_request_next(handle_.get(), timeout_ms, &event);
    if (timed_out) *timed_out = status == WQ_E_TIMEOUT;
    if (status == WQ_E_END_OF_STREAM || status == WQ_E_TIMEOUT) return std::nullopt;
    detail::check(status);
    return detail::take(event);
  }
  int fd() const {
    int fd = -1;
    detail::check(wq_request_fd(handle_.get(), &fd));
    return fd;
  }
  void cancel() { detail::check(wq_request_cancel(handle_.get())); }
  // Waits timeout_ms at most (negative: for ever) for the end; false when it has not come.
  bool wait(int32_t timeout_ms = -1) {
    const wq_status status = wq_request_wait(handle_.get(), timeout_ms);
    if (status != WQ_E_TIMEOUT) detail::check(status);
    return status == WQ_OK;
  }
  wq_request* get() const noexcept { return handle_.get(); }

 private:
  friend class Assistant;
  explicit Request(wq_request* request) : handle_(request) {}
  std::unique_ptr<wq_request, detail::Deleter<wq_request_free>> handle_;
};

// The options wanted most; wq_assistant_options has all.
struct AssistantOptions {
  std::string index_directory{};
  std::string model_path{};    // empty: answers are extracted from the sources
  int threads = 0;             // 0: one per core
  uint64_t memory_budget = 0;  // 0: what the system has free
  std::string chat_template{}; // empty: as the model says
  int nice = 0;                // how far the compute threads step back for other work: 0 to 19
  int draft_tokens = 0;        // read ahead where an answer repeats its sources: 0: the default; -1: none
  const wq_search_models* models = nullptr;   // what searches use besides words; copied
  std::string device{};        // "cpu", "cuda", "cuda:1" ..., "cuda:0,1", "cuda:all", "auto"; empty: "cpu"
  int gpu_layers = 0;          // of the model, on GPUs: 0: all, or as many as fit; -1: none
  int cpu_experts = 0;         // layers whose routed experts stay with the CPU: 0: as few as must; -1: none
  bool repack = false;         // on the CPU: weights arranged for it, in memory of the process's own
};

enum class Mode { quick = WQ_MODE_QUICK, deep = WQ_MODE_DEEP };

class Assistant {
 public:
  explicit Assistant(const AssistantOptions& options) {
    wq_assistant_options given = WQ_ASSISTANT_OPTIONS_INIT;
    given.index_directory = options.index_directory.c_str();
    given.model_path = options.model_path.empty() ? nullptr : options.model_path.c_str();
    given.threads = options.threads;
    given.nice = options.nice;
    given.draft_tokens = options.draft_tokens;
    given.models = options.models;
    if (!options.device.empty()) given.device = options.device.c_str();
    given.gpu_layers = options.gpu_layers;
    given.cpu_experts = options.cpu_experts;
    given.repack = options.repack ? 1 : 0;
    given.memory_budget = options.memory_budget;
    given.chat_template = options.chat_template.empty() ? nullptr : options.chat_template.c_str();
    open(given);
  }
  // With all that C has (WQ_ASSISTANT_OPTIONS_INIT). A template, so that braces mean AssistantOptions.
  template <typename Options, std::enable_if_t<std::is_same_v<Options, wq_assistant_options>, int> = 0>
  explicit Assistant(const Options& options) { open(options); }

  // `previous_response_id`: the response that it goes on from; "": none.
  Request ask(std::string_view question, Mode mode = Mode::quick, const std::string& previous_response_id = {}) {
    wq_ask_options options = WQ_ASK_OPTIONS_INIT;
    options.mode = static_cast<int32_t>(mode);
    options.question = question.data();
    options.question_length = question.size();
    if (question.empty()) options.question = "";
    if (!previous_response_id.empty()) options.previous_response_id = previous_response_id.c_str();
    return ask(options);
  }
  // With all that C has (WQ_ASK_OPTIONS_INIT): filters, limits, a callback.
  Request ask(const wq_ask_options& options) {
    wq_request* request = nullptr;
    detail::check(wq_ask(handle_.get(), &options, &request));
    return Request(request);
  }
  // The hits as JSON.
  std::string search(std::string_view query, uint32_t top = 0) {
    wq_string* found = nullptr;
    detail::check(wq_search(handle_.get(), query.data(), query.size(), top, &found));
    return detail::take(found);
  }
  // With all that C has (WQ_SEARCH_OPTIONS_INIT): further pages, a filter.
  std::string search(const wq_search_options& options) {
    wq_string* found = nullptr;
    detail::check(wq_search_with_options(handle_.get(), &options, &found));
    return detail::take(found);
  }
  void refresh() { detail::check(wq_assistant_refresh(handle_.get())); }
  wq_assistant* get() const noexcept { return handle_.get(); }

 private:
  void open(const wq_assistant_options& options) {
    wq_assistant* assistant = nullptr;
    detail::check(wq_assistant_open(&options, &assistant));
    handle_.reset(assistant);
  }
  std::unique_ptr<wq_assistant, detail::Deleter<wq_assistant_close>> handle_;
};

// What loading a model would need, as JSON; 0 tokens: 4096.
inline std::string estimate(const std::string& model_path, uint64_t context_tokens = 0) {
  wq_string* told = nullptr;
  detail::check(wq_estimate(model_path.c_str(), context_tokens, &told));
  return detail::take(told);
}

}  // namespace wenqu

#endif  // WENQU_WENQU_HPP
