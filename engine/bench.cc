#include "engine/bench.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <exception>
#include <functional>
#include <latch>
#include <new>
#include <thread>

#include "base/thread.h"
#include "engine/cpu/bandwidth.h"
#include "engine/model/work.h"
#include "engine/runtime.h"

namespace wenqu::engine {
namespace {

std::vector<TokenId> some_tokens(size_t count, uint32_t vocabulary, uint64_t seed = 1) {
  std::vector<TokenId> tokens(count);
  uint64_t state = seed;
  for (TokenId& token : tokens) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    token = static_cast<TokenId>((state >> 33) % vocabulary);
  }
  return tokens;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 ? values[middle] : (values[middle] + values[middle - 1]) / 2;
}

// Repeats a row's test and fills the row in. `work`: of all its tokens.
Status measure(const Model& model, const Work& work, size_t repetitions, const std::function<Status()>& prepare,
               const std::function<Status()>& once, BenchRow& row) {
  const size_t tokens = row.prompt_tokens + row.decode_tokens * row.sessions;
  const MemoryUse before = model.memory();
  double all_seconds = 0;
  for (size_t i = 0; i < repetitions; ++i) {
    WENQU_RETURN_IF_ERROR(prepare());
    const auto begun = std::chrono::steady_clock::now();
    WENQU_RETURN_IF_ERROR(once());
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
    row.samples.push_back(static_cast<double>(tokens) / seconds);
    all_seconds += seconds;
  }
  row.on_demand = before.on_demand;
  if (row.on_demand) {
    const ExpertUse now = model.memory().experts, &then = before.experts;
    row.hit_rate = ExpertUse{.hits = now.hits - then.hits, .misses = now.misses - then.misses}.hit_rate();
    row.read_per_token = static_cast<double>(now.bytes_read - then.bytes_read) / static_cast<double>(tokens * repetitions);
    row.waited = (now.seconds_waited - then.seconds_waited) / all_seconds;
  }
  const double count = static_cast<double>(row.samples.size());
  double mean = 0, square = 0;
  for (double rate : row.samples) mean += rate / count;
  for (double rate : row.samples) square += (rate - mean) * (rate - mean) / count;
  row.standard_deviation = std::sqrt(square);
  row.tokens_per_second = median(row.samples);
  row.bytes_per_second = row.tokens_per_second * work.bytes / static_cast<double>(tokens);
  row.operations_per_second = row.tokens_per_second * work.operations / static_cast<double>(tokens);
  return {};
}

class Bench {
 public:
  Bench(std::shared_ptr<const Model> model, const BenchOptions& options, const CancelToken& cancel)
      : model_(std::move(model)), options_(options), cancel_(cancel) {
    options_.timeline.share_prefixes = false;   // each repetition reads its tokens anew
  }

  Status run(BenchReport& report) {
    if (model_->runtime().gpu) {
      report.bandwidth = model_->runtime().gpu->copy_bandwidth();
    } else {
      cpu::ThreadPool pool(model_->info().threads);
      report.bandwidth = cpu::read_bandwidth(pool);
    }
    WENQU_RETURN_IF_ERROR(add_timeline());
    // The first touch of the weights reads them from disk: not what is measured.
    WENQU_RETURN_IF_ERROR(timelines_[0]->append(some_tokens(4, model_->info().vocabulary), cancel_));
    WENQU_RETURN_IF_ERROR(timelines_[0]->truncate(0));
    WENQU_RETURN_IF_ERROR(to_depth());
    if (options_.prompt_tokens > 0) WENQU_RETURN_IF_ERROR(prefill(report.rows.emplace_back()));
    if (options_.decode_tokens == 0) return {};
    WENQU_RETURN_IF_ERROR(decode(report.rows.emplace_back()));
    if (options_.sessions < 2) return {};
    while (timelines_.size() < options_.sessions) WENQU_RETURN_IF_ERROR(add_timeline());
    return decode(report.rows.emplace_back());
  }

 private:
  Status add_timeline() {
    WENQU_ASSIGN_OR_RETURN(std::unique_ptr<Timeline> timeline, Timeline::create(model_, options_.timeline));
    timelines_.push_back(std::move(timeline));
    return {};
  }

  // Brings every timeline to the depth at which a test begins; those that have been there only forget.
  Status to_depth() {
    for (const auto& timeline : timelines_) {
      WENQU_RETURN_IF_ERROR(timeline->truncate(std::min(options_.depth, timeline->tokens().size())));
      if (const size_t missing = options_.depth - timeline->tokens().size(); missing > 0)
        WENQU_RETURN_IF_ERROR(timeline->append(some_tokens(missing, model_->info().vocabulary), cancel_));
    }
    return {};
  }

  std::string name(const char* kind, size_t tokens) const {
    return fmt::format("{}{}{}{}", kind, tokens, timelines_.size() > 1 ? fmt::format("x{}", timelines_.size()) : "",
                       options_.depth > 0 ? fmt::format("@d{}", options_.depth) : "");
  }

  Work work_of(size_t tokens, size_t logits) const {
    return work_of_batch(model_->runtime().config, model_->runtime().weights, tokens, logits);
  }

  Status prefill(BenchRow& row) {
    const size_t tokens = options_.prompt_tokens;
    row.test = name("pp", tokens);
    row.prompt_tokens = tokens, row.depth = options_.depth;
    const std::vector<TokenId> prompt = some_tokens(tokens, model_->info().vocabulary);
    Work work;
    for (size_t done = 0; done < tokens; done += kMaxBatch) {
      const Work batch = work_of(std::min(kMaxBatch, tokens - done), done + kMaxBatch >= tokens);
      work.operations += batch.operations, work.bytes += batch.bytes;
    }
    return measure(*model_, work, options_.repetitions, [&] { return to_depth(); },
                   [&] { return timelines_[0]->append(prompt, cancel_); }, row);
  }

  Status decode(BenchRow& row) {
    const size_t sessions = timelines_.size(), tokens = options_.decode_tokens;
    row.test = name("tg", tokens);
    row.decode_tokens = tokens, row.sessions = sessions, row.depth = options_.depth;
    Work work = work_of(sessions, sessions);
    const double rows_each = static_cast<double>(options_.depth) + static_cast<double>(tokens + 1) / 2;   // on average
    const double rows_read = static_cast<double>(sessions) * rows_each;
    const KvShape shape = kv_shape(model_->runtime().config, options_.timeline.kv_type);
    const double kv_row = static_cast<double>(shape.bytes_per_token());
    work.bytes = (work.bytes + rows_read * kv_row) * static_cast<double>(tokens);
    work.operations *= static_cast<double>(tokens);
    std::vector<std::vector<TokenId>> each;   // session's tokens
    for (size_t i = 0; i < sessions; ++i) each.push_back(some_tokens(tokens, model_->info().vocabulary, i + 1));
    return measure(*model_, work, options_.repetitions, [&] { return to_depth(); },
                   [&] { return sessions == 1 ? decode_one(0, each[0]) : decode_together(each); }, row);
  }

  Status decode_one(size_t session, const std::vector<TokenId>& tokens) {
    // As an answer does that takes the best token ever: where a device chooses, the logits stay there.
    const TopRequest best{.enough = [](const TopLogits&) { return true; }};
    for (const TokenId& token : tokens)
      WENQU_RETURN_IF_ERROR(timelines_[session]->append({&token, 1}, cancel_, {}, &best));
    return {};
  }

  // Each session on a thread of its own, as requests are.
  Status decode_together(const std::vector<std::vector<TokenId>>& each) {
    std::vector<Status> ends(timelines_.size());
    std::vector<std::thread> threads;
    std::latch all_here(1);
    Status started;
    try {
      threads.reserve(timelines_.size());
      for (size_t i = 0; i < timelines_.size(); ++i)
        threads.push_back(start_thread([&, i] {
          all_here.wait();
          if (started) ends[i] = decode_one(i, each[i]);
        }));
    } catch (const std::exception& error) {
      started = Status(StatusCode::limit_exceeded, fmt::format("cannot start {} threads: {}", timelines_.size(), error.what()),
                       "sessions");
    }
    all_here.count_down();
    for (std::thread& thread : threads) thread.join();
    WENQU_RETURN_IF_ERROR(started);
    for (const Status& end : ends) WENQU_RETURN_IF_ERROR(end);
    return {};
  }

  const std::shared_ptr<const Model> model_;
  BenchOptions options_;
  const CancelToken& cancel_;
  std::vector<std::unique_ptr<Timeline>> timelines_;
};

}  // namespace

Result<BenchReport> run_bench(std::shared_ptr<const Model> model, const BenchOptions& options,
                              const CancelToken& cancel) try {
  BenchReport report;
  WENQU_RETURN_IF_ERROR(Bench(std::move(model), options, cancel).run(report));
  return report;
} catch (const std::bad_alloc&) {
  return Status(StatusCode::out_of_memory, "not enough memory to measure: ask for fewer tokens or sessions");
}

}  // namespace wenqu::engine
