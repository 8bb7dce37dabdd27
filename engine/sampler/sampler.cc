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

// Below this logit a token's share of the best one's probability is such that it cannot be drawn at 53 bits.
float floor_of(float best, float temperature) { return best - 40.0f * temperature; }

Status no_finite_logit() { return Status(StatusCode::corrupt, "the model gave no finite logit: its weights may be damaged"); }

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
  if (best.second < 0 || !std::isfinite(best.first)) return no_finite_logit();
  if (is_greedy()) return best.second;
  candidates_.clear();
  const float floor = floor_of(best.first, options_.temperature);
  for (size_t i = 0; i < logits.size(); ++i)
    if (logits[i] >= floor) candidates_.emplace_back(logits[i], static_cast<int32_t>(i));
  return choose_among_all(best.first);
}

double Sampler::weight(float logit, float best) const {
  return std::exp((static_cast<double>(logit) - best) / options_.temperature);
}

double Sampler::weigh(float best) const {
  double sum = 0;
  for (const Candidate& c : candidates_) sum += weight(c.first, best);
  return sum;
}

void Sampler::keep_best(size_t count) {
  std::partial_sort(candidates_.begin(), candidates_.begin() + static_cast<std::ptrdiff_t>(count), candidates_.end(), before);
  candidates_.resize(count);
}

// The fewest of the most probable ones that come to so much; gives what they come to.
double Sampler::keep_most_probable(float best, double wanted) {
  size_t sorted = 0, count = 0;
  double mass = 0;
  while (count < candidates_.size() && mass < wanted) {
    if (count == sorted) {
      sorted = std::min(candidates_.size(), std::max(kFirstSorted, sorted * 2));
      std::partial_sort(candidates_.begin() + static_cast<std::ptrdiff_t>(count), candidates_.begin() + static_cast<std::ptrdiff_t>(sorted),
                        candidates_.end(), before);
    }
    mass += weight(candidates_[count++].first, best);
  }
  candidates_.resize(count);
  return mass;
}

// From the candidates in the order of their ids.
int32_t Sampler::choose_among_all(float best) {
  if (options_.top_k > 0 && static_cast<size_t>(options_.top_k) < candidates_.size()) keep_best(static_cast<size_t>(options_.top_k));
  double mass = weigh(best);
  if (options_.top_p < 1) mass = keep_most_probable(best, options_.top_p * mass);
  return draw(best, mass);
}

int32_t Sampler::draw(float best, double mass) {
  if (options_.min_p > 0) {
    // The best one stays.
    std::erase_if(candidates_, [&](const Candidate& c) { return weight(c.first, best) < static_cast<double>(options_.min_p); });
    mass = weigh(best);
  }
  double left = next_uniform(state_) * mass;
  for (size_t i = 0; i + 1 < candidates_.size(); ++i) {
    left -= weight(candidates_[i].first, best);
    if (left < 0) return candidates_[i].second;
  }
  return candidates_.back().second;
}

std::optional<TopRequest> Sampler::top_request() const {
  if (changes_logits()) return std::nullopt;
  TopRequest request;
  request.enough = [this](const TopLogits& top) { return enough(top); };
  if (is_greedy()) return request;
  const bool narrows = options_.top_k > 0 || options_.top_p < 1 || options_.min_p > 0;
  // One more than top-k: whether there are more decides in which order the host goes through them.
  if (!narrows || static_cast<size_t>(options_.top_k) >= TopLogits::kMost) return std::nullopt;
  request.count = options_.top_k > 0 ? static_cast<size_t>(options_.top_k) + 1 : TopLogits::kMost;
  if (options_.top_k == 0 && options_.top_p < 1) request.temperature = options_.temperature;
  return request;
}

Sampler::Cut Sampler::cut_of(const TopLogits& top) const {
  using By = Cut::By;
  const std::vector<Candidate>& list = top.best;
  const float best = list[0].first;
  if (!std::isfinite(best) || is_greedy()) return {By::likelihood, 1};
  const float floor = floor_of(best, options_.temperature);
  const size_t likely = static_cast<size_t>(std::partition_point(list.begin(), list.end(), [&](const Candidate& c) { return c.first >= floor; }) - list.begin());
  if (top.all || likely < list.size()) return {By::likelihood, likely};
  if (options_.top_k > 0) {
    const size_t k = static_cast<size_t>(options_.top_k);
    return k < list.size() ? Cut{By::top_k, k} : Cut{};
  }
  if (options_.top_p < 1) {
    if (top.temperature != options_.temperature) return {};
    // The total is known within an error: where this could matter, it is not enough.
    const double wanted = options_.top_p * top.total, error = wanted * TopLogits::kTotalError;
    double mass = 0;
    for (size_t count = 0; count < list.size();) {
      mass += weight(list[count++].first, best);
      if (mass < wanted - error) continue;
      return mass >= wanted + error ? Cut{By::top_p, count} : Cut{};
    }
    return {};
  }
  const auto probable = [&](const Candidate& c) { return weight(c.first, best) >= static_cast<double>(options_.min_p); };
  const size_t count = static_cast<size_t>(std::partition_point(list.begin(), list.end(), probable) - list.begin());
  return options_.min_p > 0 && count < list.size() ? Cut{By::min_p, count} : Cut{};
}

Result<int32_t> Sampler::sample_from(const TopLogits& top) {
  if (top.best.empty() || !std::isfinite(top.best[0].first)) return no_finite_logit();
  const float best = top.best[0].first;
  if (is_greedy()) return top.best[0].second;
  const Cut cut = cut_of(top);
  candidates_.assign(top.best.begin(), top.best.begin() + static_cast<std::ptrdiff_t>(cut.count));
  const auto by_id = [&] { std::sort(candidates_.begin(), candidates_.end(), [](const Candidate& a, const Candidate& b) { return a.second < b.second; }); };
  switch (cut.by) {
    case Cut::By::nothing: return Status(StatusCode::internal, "a choice from logits that are not enough for it");
    case Cut::By::likelihood: by_id(); return choose_among_all(best);
    case Cut::By::top_k: {
      const double mass = weigh(best);
      return draw(best, options_.top_p < 1 ? keep_most_probable(best, options_.top_p * mass) : mass);
    }
    case Cut::By::top_p: return draw(best, weigh(best));
    case Cut::By::min_p: by_id(); return draw(best, weigh(best));
  }
  return Status(StatusCode::internal, "a choice of no kind");
}

}  // namespace wenqu::engine
