// Stand-ins for retrieval and generation, where a test needs an answer that is long, slow or endless.
#pragma once

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <thread>

#include "sdk/assistant/assistant.h"

namespace wenqu::net {

class OnePassage : public retrieval::Retriever {
 public:
  Result<retrieval::SearchResponse> search(const retrieval::SearchRequest&, const CancelToken&) const override {
    retrieval::Hit hit;
    hit.passage.document_id = "mill";
    hit.passage.text = "The mill of Qingxi opens at nine.";
    hit.passage.range = {0, 33};
    hit.title = "The mill";
    hit.score = 1;
    return retrieval::SearchResponse{{hit}, 1};
  }
  Result<std::vector<retrieval::WeighedTerm>> weigh(std::string_view, bool, const CancelToken&) const override {
    return std::vector<retrieval::WeighedTerm>();
  }
  Result<retrieval::Document> fetch(const std::string&) const override {
    return Status(StatusCode::not_found, "no such document");
  }
};

// Its index cannot be reached.
class OutOfReach : public OnePassage {
 public:
  Result<retrieval::SearchResponse> search(const retrieval::SearchRequest&, const CancelToken&) const override {
    return Status(StatusCode::io_error, "the connection was refused", "https://10.0.0.5:9200/notes");
  }
};

// Finds no memory to search with.
class NoMemory : public OnePassage {
 public:
  Result<retrieval::SearchResponse> search(const retrieval::SearchRequest&, const CancelToken&) const override { throw std::bad_alloc(); }
};

// Writes `deltas` pieces of text, or goes on until it is cancelled.
class Scripted : public assistant::Generator {
 public:
  static constexpr size_t kEndless = static_cast<size_t>(-1);

  explicit Scripted(size_t deltas = 3, std::string delta = "word ") : deltas_(deltas), delta_(std::move(delta)) {}

  const std::string& name() const override { return name_; }
  bool is_extractive() const override { return false; }
  bool thinks() const override { return true; }
  Result<std::unique_ptr<assistant::Generation>> start(const assistant::GenerationTask&) override {
    return std::unique_ptr<assistant::Generation>(std::make_unique<Run>(*this));
  }

  // False when it does not come to be within 20 seconds.
  bool wait_for_running(size_t wanted) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(20), [&] { return running_ == wanted; });
  }
  size_t most_running() {
    std::lock_guard lock(mutex_);
    return most_running_;
  }
  size_t bytes_written() {
    std::lock_guard lock(mutex_);
    return bytes_written_;
  }

 private:
  class Run : public assistant::Generation {
   public:
    explicit Run(Scripted& owner) : owner_(owner) { owner_.count(1, 0); }
    ~Run() override { owner_.count(-1, 0); }
    Result<assistant::GenerationEnd> run(assistant::GenerationSink& sink, const CancelToken& cancel) override {
      for (size_t i = 0; i < owner_.deltas_; ++i) {
        if (cancel.cancelled()) return cancel.status();
        if (!sink.on_answer(owner_.delta_)) return assistant::GenerationEnd::paused;
        owner_.count(0, owner_.delta_.size());
        if (owner_.deltas_ == kEndless && owner_.delta_.size() < 1024) std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
      return assistant::GenerationEnd::finished;
    }
    Status add_evidence(std::string_view, std::span<const assistant::Evidence* const>, const CancelToken&) override {
      return {};
    }
    assistant::Usage usage() const override { return {}; }

   private:
    Scripted& owner_;
  };

  void count(int running, size_t bytes) {
    std::lock_guard lock(mutex_);
    running_ += static_cast<size_t>(running);
    most_running_ = std::max(most_running_, running_);
    bytes_written_ += bytes;
    changed_.notify_all();
  }

  const size_t deltas_;
  const std::string delta_;
  const std::string name_ = "scripted";
  std::mutex mutex_;
  std::condition_variable changed_;
  size_t running_ = 0, most_running_ = 0, bytes_written_ = 0;
};

}  // namespace wenqu::net
