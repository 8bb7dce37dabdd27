#include "retrieval/snippet.h"

#include <algorithm>
#include <set>
#include <unordered_set>

#include "base/utf8.h"
#include "retrieval/documents/passages.h"

namespace wenqu::retrieval {
namespace {

struct Match {
  CharRange range;
  std::string term;
};

std::vector<Match> find_matches(std::string_view passage, const std::vector<Term>& question_terms, const Analyzer& analyzer) {
  std::unordered_set<std::string> strong, weak;
  for (const Term& term : question_terms) (term.kind == Term::Kind::unigram ? weak : strong).insert(term.text);
  std::vector<Match> matches, characters;
  for (const Term& term : analyzer.analyze(passage)) {
    if (term.kind == Term::Kind::unigram) {
      if (weak.contains(term.text)) characters.push_back({term.range, term.text});
    } else if (strong.contains(term.text)) {
      matches.push_back({term.range, term.text});
    }
  }
  if (matches.empty()) matches = std::move(characters);
  std::stable_sort(matches.begin(), matches.end(), [](const Match& a, const Match& b) { return a.range.begin < b.range.begin; });
  return matches;
}

// How many different terms of the question the window holds, repeats counting a little.
double worth(const std::vector<Match>& matches, uint32_t begin, uint32_t end) {
  constexpr double kRepeat = 0.1;
  std::set<std::string_view> seen;
  double sum = 0;
  for (const Match& match : matches)
    if (match.range.begin >= begin && match.range.end <= end) sum += seen.insert(match.term).second ? 1 : kRepeat;
  return sum;
}

}  // namespace

Snippet make_snippet(std::string_view passage, const std::vector<Term>& question_terms, const Analyzer& analyzer,
                     size_t max_chars) {
  const std::vector<Match> matches = find_matches(passage, question_terms, analyzer);
  const uint32_t length = static_cast<uint32_t>(utf8_length(passage));
  const uint32_t window = static_cast<uint32_t>(max_chars);
  uint32_t begin = 0;
  if (length > window) {
    // A window begins with a sentence or, where that shows less, a little before a match.
    double best = worth(matches, 0, window);
    for (const CharRange& sentence : split_sentences(passage))
      if (const double value = worth(matches, sentence.begin, sentence.begin + window); value > best)
        best = value, begin = sentence.begin;
    for (const Match& match : matches) {
      const uint32_t lead = std::min(match.range.begin, window / 8);
      const uint32_t from = match.range.begin - lead;
      if (const double value = worth(matches, from, from + window); value > best) best = value, begin = from;
    }
  }
  const uint32_t end = std::min(length, begin + window);
  const size_t first = utf8_offset(passage, begin);
  const size_t last = first + utf8_offset(passage.substr(first), end - begin);
  Snippet snippet;
  const uint32_t shift = begin > 0 ? 1 : 0;
  if (begin > 0) snippet.text = "…";
  snippet.text += passage.substr(first, last - first);
  if (end < length) snippet.text += "…";
  for (const Match& match : matches) {
    if (match.range.begin < begin || match.range.end > end) continue;
    const CharRange range{match.range.begin - begin + shift, match.range.end - begin + shift};
    if (snippet.matches.empty()) snippet.place = match.range.begin;
    if (!snippet.matches.empty() && range.begin <= snippet.matches.back().end)
      snippet.matches.back().end = std::max(snippet.matches.back().end, range.end);
    else
      snippet.matches.push_back(range);
  }
  return snippet;
}

}  // namespace wenqu::retrieval
