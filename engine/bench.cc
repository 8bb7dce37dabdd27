#include "engine/bench.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <functional>

#include "engine/timeline.h"

namespace wenqu::engine {
namespace {

std::vector<TokenId> some_tokens(size_t count, uint32_t vocabulary) {
  std::vector<TokenId> tokens(count);
  uint64_t state = 1;
  for (TokenId& token : tokens) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    token = static_cast<TokenId>((state >> 33) % vocabulary);
  }
  return tokens;
}

Result<BenchRow> measure(std::string test, size_t tokens, size_t repetitions, const std::function<Status()>& once) {
  std::vector<double> rates;
  for (size_t i = 0; i < repetitions; ++i) {
    const auto begun = std::chrono::steady_clock::now();
    WENQU_RETURN_IF_ERROR(once());
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
    rates.push_back(static_cast<double>(tokens) / seconds);
  }
  BenchRow row;
  row.test = std::move(test);
  double mean = 0, square = 0;
  for (double rate : rates) mean += rate / static_cast<double>(rates.size());
  for (double rate : rates) square += (rate - mean) * (rate - mean) / static_cast<double>(rates.size());
  row.standard_deviation = std::sqrt(square);
  std::sort(rates.begin(), rates.end());
  row.tokens_per_second = rates.size() % 2 ? rates[rates.size() / 2]
                                           : (rates[rates.size() / 2] + rates[rates.size() / 2 - 1]) / 2;
  return row;
}

}  // namespace

Result<std::vector<BenchRow>> run_bench(std::shared_ptr<const Model> model, const BenchOptions& options, const CancelToken& cancel) {
  const ModelInfo& info = model->info();
  const std::vector<TokenId> prompt = some_tokens(options.prompt_tokens, info.vocabulary);
  const std::vector<TokenId> decoded = some_tokens(options.decode_tokens, info.vocabulary);
  std::vector<BenchRow> rows;
  const std::string at_depth = options.depth > 0 ? fmt::format("@d{}", options.depth) : "";
  TimelineOptions alone = options.timeline;
  alone.share_prefixes = false;   // each repetition reads its tokens anew
  WENQU_ASSIGN_OR_RETURN(const std::unique_ptr<Timeline> timeline, Timeline::create(model, alone));
  // The first touch of the weights reads them from disk: not what is measured.
  WENQU_RETURN_IF_ERROR(timeline->append(some_tokens(4, info.vocabulary), cancel));
  WENQU_RETURN_IF_ERROR(timeline->truncate(0));
  WENQU_RETURN_IF_ERROR(timeline->append(some_tokens(options.depth, info.vocabulary), cancel));
  if (!prompt.empty()) {
    WENQU_ASSIGN_OR_RETURN(BenchRow row, measure(fmt::format("pp{}{}", prompt.size(), at_depth), prompt.size(), options.repetitions, [&]() -> Status {
                             WENQU_RETURN_IF_ERROR(timeline->truncate(options.depth));
                             return timeline->append(prompt, cancel);
                           }));
    rows.push_back(std::move(row));
  }
  if (!decoded.empty()) {
    WENQU_ASSIGN_OR_RETURN(BenchRow row, measure(fmt::format("tg{}{}", decoded.size(), at_depth), decoded.size(), options.repetitions, [&]() -> Status {
                             WENQU_RETURN_IF_ERROR(timeline->truncate(options.depth));
                             for (const TokenId& token : decoded)
                               WENQU_RETURN_IF_ERROR(timeline->append({&token, 1}, cancel));
                             return {};
                           }));
    row.bytes_per_second = row.tokens_per_second * static_cast<double>(info.active_bytes);
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace wenqu::engine
