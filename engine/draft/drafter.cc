#include "engine/draft/drafter.h"

#include <algorithm>
#include <new>

namespace wenqu::engine {
namespace {

constexpr double kWorth = 1.05;         // gains less than this are not worth the memory traffic and the doubt
constexpr size_t kSteady = 4;           // tokens that matched, after which one that does not may be a slip
constexpr size_t kRecovered = 8;        // tokens since a slip, after which the match stands by itself
// What drafts may cost: at first, more for every token and for every guess that came true, and at most, whatever
// was gained before.
constexpr double kFirstCredit = 0.5, kCredit = 0.005, kTrueCredit = 0.05, kMostCredit = 3;
constexpr size_t kLongestText = 1u << 29;   // the index counts in 32 bits

}  // namespace

Drafter::Drafter(const DraftOptions& options, const WeightBytes& weights)
    : most_(std::min(options.max_tokens, BatchTimes::kMost - 1)), always_(options.always), times_(weights), account_(kFirstCredit) {
  draft_.reserve(most_);
}

void Drafter::give_up() noexcept {
  gave_up_ = true;
  slip_ = {};
}

Drafter::Guess Drafter::from_repeat() const {
  const RepeatIndex::Repeat& repeat = index_.repeat();
  return {repeat.next, {repeat.length, false}, repeat.length > 0};
}

Drafter::Guess Drafter::best() const {
  const Guess repeat = from_repeat();
  if (!slip_.any || (repeat.any && acceptance_.chance(repeat.ground) >= acceptance_.chance(slip_.ground))) return repeat;
  return slip_;
}

void Drafter::follow(std::span<const int32_t> text) noexcept try {
  if (gave_up_) return;
  if (text.size() > kLongestText) return give_up();
  const std::span<const int32_t> known = index_.text();
  if (known.size() > text.size() || !std::equal(known.begin(), known.end(), text.begin())) index_.clear(), slip_ = {};
  // What a prompt repeats of itself tells little of what the model will repeat: no guess is judged by it.
  for (const int32_t token : text.subspan(index_.text().size())) index_.push(token), slip_ = {};
} catch (const std::bad_alloc&) {
  give_up();
}

void Drafter::push(int32_t token) noexcept try {
  if (gave_up_) return;
  if (index_.text().size() >= kLongestText) return give_up();
  const Guess chosen = best(), repeat = from_repeat();
  const auto came_true = [&](const Guess& guess) { return index_.text()[guess.next] == token; };
  if (repeat.any) acceptance_.add(repeat.ground, came_true(repeat));
  if (slip_.any) {
    acceptance_.add(slip_.ground, came_true(slip_));
    if (came_true(slip_) && slip_.ground.matched + 1 < kRecovered) ++slip_.next, ++slip_.ground.matched;
    else slip_.any = false;
  }
  if (chosen.any && !came_true(chosen) && chosen.ground.matched >= kSteady) slip_ = {chosen.next + 1, {0, true}, true};
  if (came_true_ < draft_.size() && draft_[came_true_] == token) ++came_true_, ++account_;
  else came_true_ = draft_.size();
  account_ = std::min(account_ + kCredit + (chosen.any && came_true(chosen) ? kTrueCredit : 0), kMostCredit);
  index_.push(token);
} catch (const std::bad_alloc&) {
  give_up();
}

void Drafter::took(size_t tokens, double seconds) noexcept {
  times_.add(tokens, seconds);
  draft_.resize(std::min(draft_.size(), tokens - std::min<size_t>(tokens, 1)));
  if (!draft_.empty()) account_ -= std::max(times_.relative(1 + draft_.size()), times_.relative_of(seconds)) - 1;
}

std::span<const int32_t> Drafter::draft(size_t most) noexcept {
  draft_.clear();
  came_true_ = 0;
  const Guess guess = best();
  if (gave_up_ || !guess.any) return {};
  size_t length = 0;
  bool wanted = false;
  double chance = 1, tokens = 1, gain = kWorth;
  Acceptance::Ground ground = guess.ground;
  for (size_t k = 1; k <= std::min({most, most_, times_.largest() - 1}); ++k, ++ground.matched) {
    chance *= acceptance_.chance(ground);
    tokens += chance;
    const double cost = times_.relative(k + 1);
    if (tokens > gain * cost && cost - 1 <= account_) gain = tokens / cost, length = k;
    wanted = wanted || tokens / times_.reckoned(k + 1) > kWorth;
  }
  if (length == 0 && wanted) times_.age();
  if (always_) length = std::min(most, most_);
  // A repeat may overlap the end of the text, and goes on in the draft then.
  const std::span<const int32_t> text = index_.text();
  for (size_t i = guess.next; draft_.size() < length; ++i) draft_.push_back(i < text.size() ? text[i] : draft_[i - text.size()]);
  return draft_;
}

}  // namespace wenqu::engine
