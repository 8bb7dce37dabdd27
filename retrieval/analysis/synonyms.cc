#include "retrieval/analysis/synonyms.h"

#include <algorithm>

namespace wenqu::retrieval {
namespace {

// The characters and words of a text in their order; of a compound the whole, not its parts.
std::vector<const Term*> atoms_of(std::span<const Term> terms) {
  std::vector<const Term*> atoms;
  for (const Term& term : terms) {
    if (term.kind != Term::Kind::unigram && term.kind != Term::Kind::word) continue;
    const bool is_part = !atoms.empty() && term.range.begin >= atoms.back()->range.begin && term.range.end <= atoms.back()->range.end;
    if (!is_part) atoms.push_back(&term);
  }
  return atoms;
}

std::string key_of(std::span<const Term* const> atoms) {
  std::string key;
  for (const Term* atom : atoms) key += atom->text + '\x1F';
  return key;
}

// Whether the range cuts through a word.
bool cuts(CharRange range, const std::vector<CharRange>& words) {
  return std::any_of(words.begin(), words.end(), [range](const CharRange& word) {
    const bool overlaps = word.begin < range.end && range.begin < word.end;
    const bool holds = word.begin <= range.begin && range.end <= word.end;
    const bool is_held = range.begin <= word.begin && word.end <= range.end;
    return overlaps && !holds && !is_held;
  });
}

}  // namespace

Synonyms::Synonyms(std::span<const SynonymRule> rules) {
  if (rules.empty()) return;   // as those of the lexicon that the analyzer below leans on
  const Analyzer analyzer;
  for (const SynonymRule& rule : rules) {
    for (size_t i = 0; i < rule.from.size(); ++i) {
      const std::vector<Term> terms = analyzer.analyze(rule.from[i]);
      const std::vector<const Term*> atoms = atoms_of(terms);
      if (atoms.empty()) continue;
      size_t& longest = longest_[atoms.front()->text];
      longest = std::max(longest, atoms.size());
      std::vector<std::string>& others = others_[key_of(atoms)];
      const auto add = [&](const std::string& other) {
        if (others.size() < kMaxSynonymsOfRule && std::find(others.begin(), others.end(), other) == others.end()) others.push_back(other);
      };
      for (const std::string& other : rule.to) add(other);
      if (!rule.to.empty()) continue;
      for (size_t other = 0; other < rule.from.size(); ++other)
        if (other != i) add(rule.from[other]);
    }
  }
}

std::vector<Synonyms::Found> Synonyms::find(std::span<const Term> terms) const {
  std::vector<Found> found;
  if (empty()) return found;
  std::vector<CharRange> words;
  for (const Term& term : terms)
    if (term.kind == Term::Kind::dictionary_word) words.push_back(term.range);
  const std::vector<const Term*> atoms = atoms_of(terms);
  for (size_t begin = 0; begin < atoms.size();) {
    size_t step = 1;
    const auto longest = longest_.find(atoms[begin]->text);
    for (size_t size = longest == longest_.end() ? 0 : std::min(longest->second, atoms.size() - begin); size > 0; --size) {
      const auto phrase = others_.find(key_of(std::span(atoms).subspan(begin, size)));
      const CharRange range{atoms[begin]->range.begin, atoms[begin + size - 1]->range.end};
      if (phrase == others_.end() || cuts(range, words)) continue;
      found.push_back({range, &phrase->second});
      step = size;
      break;
    }
    begin += step;
  }
  return found;
}

}  // namespace wenqu::retrieval
