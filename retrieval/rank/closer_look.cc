#include "retrieval/rank/closer_look.h"

#include <numeric>
#include <algorithm>
#include <cmath>
#include <map>

#include "base/utf8.h"
#include "retrieval/analysis/fold.h"
#include "retrieval/analysis/term_scanner.h"

namespace wenqu::retrieval {
namespace {

// A longer question is looked at so far, and a longer text.
constexpr size_t kMaxUnits = 64;
constexpr size_t kMaxQuestionChars = 1000;
constexpr size_t kMaxTextUnits = 2000;

constexpr size_t kNarrowWindow = 15, kWideWindow = 45;  // units
constexpr size_t kNearAnswer = 15;                      // units on either side
constexpr double kRareUnit = 2;                         // from such a weight on a unit says something by itself

std::u32string characters_of(const std::vector<FoldedChar>& folded) {
  std::u32string characters;
  for (const FoldedChar& c : folded) characters += c.code_point;
  return characters;
}

// Of the last two bytes.
uint8_t hash_of_end(const std::string& text) {
  const auto byte = [&text](size_t back) { return back <= text.size() ? static_cast<uint8_t>(text[text.size() - back]) : uint8_t{0}; };
  return static_cast<uint8_t>(byte(1) + 31 * byte(2));
}

double& at(Signals& signals, Signal signal) { return signals[static_cast<size_t>(signal)]; }
// Of four that stand in the order of the kinds of terms.
double& of_kind(Signals& signals, Signal first, Term::Kind kind) { return signals[static_cast<size_t>(first) + static_cast<size_t>(kind)]; }

}  // namespace

// A passage as the question sees it.
struct CloserLook::View {
  std::u32string text;                // folded
  std::vector<int> units;             // of the text in order: which of the question's it is, -1 for none
  std::vector<size_t> places;         // where in `text` each begins
  std::vector<bool> in_title;         // by unit of the question
  std::vector<bool> held;             // in the title or in the text
  std::vector<bool> phrase_held;      // by phrase, so too
};

CloserLook::CloserLook(std::string_view question, const std::vector<QuestionTerm>& terms, const std::vector<double>& idf)
    : question_(characters_of(fold(question)).substr(0, kMaxQuestionChars)), expected_(expected_answers(question_)) {
  for (size_t i = 0; i < terms.size(); ++i) {
    const Term& term = terms[i].term;
    if (term.kind == Term::Kind::unigram || term.kind == Term::Kind::word) {
      if (units_.size() < kMaxUnits) units_.push_back({term.text, term.kind, term.position, idf[i]});
    } else if (phrases_.size() < kMaxUnits) {
      phrases_.push_back({utf8_to_utf32(term.text), term.kind, idf[i]});
    }
  }
  for (size_t i = 0; i < units_.size(); ++i) {
    sorted_.push_back(i);
    ends_[hash_of_end(units_[i].text)] = true;
    all_units_ += units_[i].weight;
    if (i > 0 && units_[i].position == units_[i - 1].position + 1) all_neighbours_ += units_[i - 1].weight + units_[i].weight;
  }
  std::sort(sorted_.begin(), sorted_.end(), [this](size_t a, size_t b) { return units_[a].text < units_[b].text; });
}

int CloserLook::find_unit(const std::string& text) const {
  if (!ends_[hash_of_end(text)]) return -1;
  const auto found = std::lower_bound(sorted_.begin(), sorted_.end(), text,
                                      [this](size_t unit, const std::string& wanted) { return units_[unit].text < wanted; });
  return found != sorted_.end() && units_[*found].text == text ? static_cast<int>(*found) : -1;
}

CloserLook::View CloserLook::view(const PassageText& passage) const {
  View view;
  view.held.resize(units_.size());
  const std::vector<FoldedChar> title = fold(passage.title);
  const std::u32string title_text = characters_of(title);
  for (const Term& term : scan_units(title))
    if (const int unit = find_unit(term.text); unit >= 0) view.held[static_cast<size_t>(unit)] = true;
  view.in_title = view.held;
  const std::vector<FoldedChar> folded = fold(passage.text);
  view.text = characters_of(folded);
  for (const Phrase& phrase : phrases_)
    view.phrase_held.push_back(view.text.find(phrase.text) != std::u32string::npos || title_text.find(phrase.text) != std::u32string::npos);
  size_t place = 0;
  for (const Term& term : scan_units(folded)) {
    if (view.units.size() == kMaxTextUnits) break;
    while (place + 1 < folded.size() && folded[place].range.begin < term.range.begin) ++place;
    const int unit = find_unit(term.text);
    view.units.push_back(unit);
    view.places.push_back(place);
    if (unit >= 0) view.held[static_cast<size_t>(unit)] = true;
  }
  return view;
}

double CloserLook::weight_of(const std::vector<bool>& held) const {
  double sum = 0;
  for (size_t unit = 0; unit < units_.size(); ++unit)
    if (held[unit]) sum += units_[unit].weight;
  return sum;
}

// The weight of what the title and the units [begin, end) of the text hold of the question.
double CloserLook::weight_within(const View& view, size_t begin, size_t end) const {
  std::vector<bool> seen = view.in_title;
  double sum = weight_of(seen);
  for (size_t i = begin; i < end; ++i) {
    if (view.units[i] < 0 || seen[static_cast<size_t>(view.units[i])]) continue;
    seen[static_cast<size_t>(view.units[i])] = true;
    sum += units_[static_cast<size_t>(view.units[i])].weight;
  }
  return sum;
}

double CloserLook::best_window(const View& view, size_t size) const {
  std::vector<size_t> counts(view.in_title.begin(), view.in_title.end());   // what the title holds is in every window
  double sum = weight_of(view.in_title), best = sum;
  for (size_t i = 0; i < view.units.size(); ++i) {
    if (const int unit = view.units[i]; unit >= 0 && counts[static_cast<size_t>(unit)]++ == 0) sum += units_[static_cast<size_t>(unit)].weight;
    if (i >= size)
      if (const int unit = view.units[i - size]; unit >= 0 && --counts[static_cast<size_t>(unit)] == 0) sum -= units_[static_cast<size_t>(unit)].weight;
    best = std::max(best, sum);
  }
  return best;
}

// The weight of the question's units that the text holds in the same order (the heaviest common subsequence), and of
// those that only the title holds.
double CloserLook::best_order(const View& view) const {
  std::vector<double> best(units_.size() + 1);   // [n]: with the first n units of the question
  for (const int unit : view.units) {
    if (unit < 0) continue;
    const double with = best[static_cast<size_t>(unit)] + units_[static_cast<size_t>(unit)].weight;
    for (size_t n = static_cast<size_t>(unit) + 1; n <= units_.size() && best[n] < with; ++n) best[n] = with;
  }
  std::vector<bool> only_in_title = view.in_title;
  for (const int unit : view.units)
    if (unit >= 0) only_in_title[static_cast<size_t>(unit)] = false;
  return best.back() + weight_of(only_in_title);
}

void CloserLook::look_for_neighbours(const View& view, Signals& signals) const {
  std::vector<bool> joined(units_.size());   // with the one before it
  for (size_t i = 1; i < view.units.size(); ++i)
    if (const int unit = view.units[i]; unit > 0 && view.units[i - 1] == unit - 1) joined[static_cast<size_t>(unit)] = true;
  double sum = 0;
  for (size_t i = 1; i < units_.size(); ++i)
    if (joined[i] && units_[i].position == units_[i - 1].position + 1) sum += units_[i - 1].weight + units_[i].weight;
  at(signals, Signal::neighbours) = all_neighbours_ > 0 ? sum / all_neighbours_ : 0;
}

void CloserLook::look_for_answers(const View& view, Signals& signals) const {
  for (const ExpectedAnswer& expected : expected_) {
    double& found = signals[static_cast<size_t>(Signal::time) + static_cast<size_t>(expected.kind)];
    for (const AnswerPlace& place : find_answers(expected, question_, view.text)) {
      found = std::max(found, place.certain ? 1.0 : 0.5);
      const auto unit = static_cast<size_t>(std::lower_bound(view.places.begin(), view.places.end(), place.at) - view.places.begin());
      const double near = weight_within(view, unit > kNearAnswer ? unit - kNearAnswer : 0, std::min(view.units.size(), unit + kNearAnswer));
      at(signals, Signal::near_answer) = std::max(at(signals, Signal::near_answer), all_units_ > 0 ? near / all_units_ : 0);
    }
  }
}

std::vector<Signals> CloserLook::look_at(const std::vector<PassageText>& passages) const {
  std::vector<View> views;
  std::vector<double> unit_holders(units_.size()), phrase_holders(phrases_.size());
  std::map<std::string_view, double> titles;
  for (const PassageText& passage : passages) {
    views.push_back(view(passage));
    for (size_t unit = 0; unit < units_.size(); ++unit) unit_holders[unit] += views.back().held[unit];
    for (size_t phrase = 0; phrase < phrases_.size(); ++phrase) phrase_holders[phrase] += views.back().phrase_held[phrase];
    if (!passage.title.empty()) ++titles[passage.title];
  }
  const double all = std::max(all_units_, 1e-9);
  const auto count = static_cast<double>(passages.size());
  std::vector<Signals> found(passages.size());
  for (size_t i = 0; i < passages.size(); ++i) {
    const View& view = views[i];
    Signals& signals = found[i];
    const auto add = [&](Term::Kind kind, double weight, bool held, double holders) {
      if (!held) return;
      const double share = weight / all;
      of_kind(signals, Signal::unigram_held, kind) += share;
      of_kind(signals, Signal::unigram_alone, kind) += share * std::log((count + 1) / (holders + 0.5));
    };
    for (size_t u = 0; u < units_.size(); ++u) add(units_[u].kind, units_[u].weight, view.held[u], unit_holders[u]);
    for (size_t p = 0; p < phrases_.size(); ++p)
      add(phrases_[p].kind, phrases_[p].weight, view.phrase_held[p], phrase_holders[p]);
    look_for_neighbours(view, signals);
    at(signals, Signal::narrow_window) = best_window(view, kNarrowWindow) / all;
    at(signals, Signal::wide_window) = best_window(view, kWideWindow) / all;
    at(signals, Signal::order) = best_order(view) / all;
    at(signals, Signal::length) = std::log1p(static_cast<double>(view.units.size()));
    const auto first = std::find_if(view.units.begin(), view.units.end(),
                                    [&](int unit) { return unit >= 0 && units_[static_cast<size_t>(unit)].weight > kRareUnit; });
    at(signals, Signal::late) = first == view.units.end() ? 0 : std::log1p(static_cast<double>(first - view.units.begin()));
    if (const auto same = titles.find(passages[i].title); same != titles.end() && count > 1)
      at(signals, Signal::same_title) = (same->second - 1) / (count - 1);
    look_for_answers(view, signals);
  }
  return found;
}

bool wants_closer_look(const RankingParameters& parameters, const std::vector<QuestionTerm>& terms) {
  return std::any_of(parameters.signals.begin(), parameters.signals.end(), [](double weight) { return weight != 0; }) &&
         std::any_of(terms.begin(), terms.end(), [](const QuestionTerm& term) { return term.term.kind == Term::Kind::unigram; });
}

std::vector<double> scores_after_look(std::vector<double> scores, const std::vector<Signals>& signals,
                                      const RankingParameters& parameters) {
  constexpr double kMostLook = 20;  // whatever it finds, a score stays a number
  double least = 0;
  for (size_t i = 0; i < signals.size(); ++i) {
    const double sum = std::inner_product(signals[i].begin(), signals[i].end(), parameters.signals.begin(), 0.0);
    scores[i] *= std::exp(std::clamp(sum, -kMostLook, kMostLook));
    least = i == 0 ? scores[i] : std::min(least, scores[i]);
  }
  if (signals.empty() || signals.size() == scores.size() || scores[signals.size()] <= least) return scores;
  const double factor = least / scores[signals.size()];
  for (size_t i = signals.size(); i < scores.size(); ++i) scores[i] *= factor;
  return scores;
}

}  // namespace wenqu::retrieval
