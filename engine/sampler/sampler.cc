#include "engine/sampler/sampler.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace wenqu::engine {
namespace {

using Candidate = std::pair<float, int32_t>;

// Larger logits first, lower ids first among equals.
bool before(const Candidate& a, const Candidate& b) { return a.first != b.first ? a.first > b.first : a.second < b.second; }

// SplitMix64 (Steele, Lea, Flood 2014): the same sequence everywhere, unlike std::uniform_real_distribution.
double next_uniform(uint64_t& state) {
  state += 0x9E3779B97F4A7C15u;
  uint64_t z = state;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  z ^= z >> 31;
  return static_cast<double>(z >> 11) * 0x1.0p-53;   // in [0, 1)
}

// First guess of how many candidates top-p needs; doubled until they suffice.
constexpr size_t kFirstSorted = 256;

}  // namespace

Result<Sampler> Sampler::create(const SamplingOptions& options) {
  if (!(options.temperature >= 0 && options.temperature <= 100))
    return Status(StatusCode::invalid_argument, fmt::format("{} is not between 0 and 100", options.temperature), "temperature");
  if (!(options.top_p > 0 && options.top_p <= 1))
    return Status(StatusCode::invalid_argument, fmt::format("{} is not above 0 and at most 1", options.top_p), "top_p");
  if (options.top_k < 0)
    return Status(StatusCode::invalid_argument, fmt::format("{} is negative", options.top_k), "top_k");
  if (!(options.min_p >= 0 && options.min_p <= 1))
    return Status(StatusCode::invalid_argument, fmt::format("{} is not between 0 and 1", options.min_p), "min_p");
  if (!(options.repetition_penalty > 0 && options.repetition_penalty <= 100))
    return Status(StatusCode::invalid_argument, fmt::format("{} is not above 0 and at most 100", options.repetition_penalty),
                  "repetition_penalty");
  if (!(std::fabs(options.presence_penalty) <= 100))
    return Status(StatusCode::invalid_argument, fmt::format("{} is not between -100 and 100", options.presence_penalty), "presence_penalty");
  if (!(std::fabs(options.frequency_penalty) <= 100))
    return Status(StatusCode::invalid_argument, fmt::format("{} is not between -100 and 100", options.frequency_penalty),
                  "frequency_penalty");
  for (const auto& [token, bias] : options.logit_bias)
    if (token < 0 || std::isnan(bias) || bias == INFINITY)
      return Status(StatusCode::invalid_argument, fmt::format("token {} has the bias {}", token, bias), "logit_bias");
  return Sampler(options);
}

bool Sampler::changes_logits() const {
  return options_.mask || !options_.logit_bias.empty() || options_.repetition_penalty != 1 || options_.presence_penalty != 0 ||
         options_.frequency_penalty != 0;
}

void Sampler::change(std::span<float> logits, const SamplingHistory& history) {
  if (options_.mask) options_.mask(logits);
  for (const auto& [token, bias] : options_.logit_bias)
    if (static_cast<size_t>(token) < logits.size()) logits[static_cast<size_t>(token)] += bias;
  const auto for_each_new = [&](std::span<const int32_t> tokens, const auto& body) {
    for (const int32_t token : tokens) {
      const size_t i = static_cast<size_t>(token);
      if (token < 0 || i >= logits.size()) continue;
      if (!seen_[i]) body(logits[i]);
      seen_[i] = 1;
    }
  };
  const auto forget = [&](std::span<const int32_t> tokens) {
    for (const int32_t token : tokens)
      if (token >= 0 && static_cast<size_t>(token) < seen_.size()) seen_[static_cast<size_t>(token)] = 0;
  };
  seen_.resize(std::max(seen_.size(), logits.size()));
  if (const float penalty = options_.repetition_penalty; penalty != 1) {
    const auto repeat = [&](float& logit) { logit = logit > 0 ? logit / penalty : logit * penalty; };
    for_each_new(history.prompt, repeat);
    for_each_new(history.generated, repeat);
    forget(history.prompt);
    forget(history.generated);
  }
  if (options_.presence_penalty != 0) {
    for_each_new(history.generated, [&](float& logit) { logit -= options_.presence_penalty; });
    forget(history.generated);
  }
  if (options_.frequency_penalty != 0)
    for (const int32_t token : history.generated)
      if (token >= 0 && static_cast<size_t>(token) < logits.size()) logits[static_cast<size_t>(token)] -= options_.frequency_penalty;
}

Result<int32_t> Sampler::sample(std::span<const float> logits, const SamplingHistory& history) {
  if (!changes_logits()) return choose(logits);
  if (std::none_of(logits.begin(), logits.end(), [](float logit) { return std::isfinite(logit); })) return choose(logits);
  changed_.assign(logits.begin(), logits.end());
  change(changed_, history);
  if (std::none_of(changed_.begin(), changed_.end(), [](float logit) { return logit > -INFINITY; }))
    return Status(StatusCode::invalid_argument, "the bias and the mask leave no token to choose", "logit_bias");
  return choose(changed_);
}

Result<int32_t> Sampler::choose(std::span<const float> logits) {
  Candidate best{-INFINITY, -1};
  for (size_t i = 0; i < logits.size(); ++i)
    if (logits[i] > best.first) best = {logits[i], static_cast<int32_t>(i)};
  if (best.second < 0 || !std::isfinite(best.first))
    return Status(StatusCode::corrupt, "the model gave no finite logit: its weights may be damaged");
  if (options_.temperature == 0 || options_.top_k == 1) return best.second;

  candidates_.clear();
  const float temperature = options_.temperature;
  // Below this share of the best one's probability a token cannot be drawn at 53 bits.
  const float floor = best.first - 40.0f * temperature;
  for (size_t i = 0; i < logits.size(); ++i)
    if (logits[i] >= floor) candidates_.emplace_back(logits[i], static_cast<int32_t>(i));
  size_t kept = candidates_.size();
  if (options_.top_k > 0 && static_cast<size_t>(options_.top_k) < kept) {
    kept = static_cast<size_t>(options_.top_k);
    std::partial_sort(candidates_.begin(), candidates_.begin() + static_cast<std::ptrdiff_t>(kept), candidates_.end(), before);
    candidates_.resize(kept);
  }
  const auto weight = [&](const Candidate& c) {
    return std::exp((static_cast<double>(c.first) - best.first) / temperature);
  };
  double total = 0;
  for (const Candidate& c : candidates_) total += weight(c);
  double mass = total;
  if (options_.top_p < 1) {
    // The smallest set of the most probable tokens whose probabilities reach top_p.
    const double wanted = options_.top_p * total;
    size_t sorted = 0, count = 0;
    mass = 0;
    while (count < kept && mass < wanted) {
      if (count == sorted) {
        sorted = std::min(kept, std::max(kFirstSorted, sorted * 2));
        std::partial_sort(candidates_.begin() + static_cast<std::ptrdiff_t>(count),
                          candidates_.begin() + static_cast<std::ptrdiff_t>(sorted), candidates_.end(), before);
      }
      mass += weight(candidates_[count++]);
    }
    kept = count;
  }
  if (options_.min_p > 0) {
    candidates_.resize(kept);
    std::erase_if(candidates_, [&](const Candidate& c) { return weight(c) < static_cast<double>(options_.min_p); });
    kept = candidates_.size();   // the best one stays
    mass = 0;
    for (const Candidate& c : candidates_) mass += weight(c);
  }
  double left = next_uniform(state_) * mass;
  for (size_t i = 0; i + 1 < kept; ++i) {
    left -= weight(candidates_[i]);
    if (left < 0) return candidates_[i].second;
  }
  return candidates_[kept - 1].second;
}

}  // namespace wenqu::engine
