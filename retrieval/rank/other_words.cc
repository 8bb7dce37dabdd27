#include "retrieval/rank/other_words.h"

#include <algorithm>
#include <set>
#include <unordered_map>
#include <utility>

#include "base/utf8.h"
#include "retrieval/analysis/pinyin.h"
#include "retrieval/rank/bm25.h"

namespace wenqu::retrieval {
namespace {

constexpr size_t kMaxAdded = 512;          // terms of other words, for one question
constexpr size_t kMaxPinyinLetters = 64;   // of a row of words
constexpr size_t kMaxPieceLetters = 32;    // of what the index may know
constexpr size_t kMaxBoundWord = 3;        // "an" in "tian an men" may be a word elsewhere

bool lies_within(CharRange part, CharRange whole) { return part.begin >= whole.begin && part.end <= whole.end; }

// What a term adds to the best possible score.
Result<double> weight_of(TermCounts& counts, const RankingParameters& parameters, const QuestionTerm& term) {
  double weight = 0;
  for (const TermField field : fields_of(term.term.kind)) {
    const Bm25Parameters& of_field = bm25_parameters(parameters, field);
    if (of_field.weight <= 0) continue;
    WENQU_ASSIGN_OR_RETURN(const uint64_t holders, counts.holders(field, term.term.text));
    weight += term_weight(of_field, counts.passages(), holders);
  }
  return weight;
}

Result<double> weight_of(TermCounts& counts, const RankingParameters& parameters, const std::vector<QuestionTerm>& terms) {
  double sum = 0;
  for (const QuestionTerm& term : terms) {
    WENQU_ASSIGN_OR_RETURN(const double weight, weight_of(counts, parameters, term));
    sum += weight;
  }
  return sum;
}

using Key = std::pair<Term::Kind, std::wstring>;

// Terms that are asked for besides, each once.
class Added {
 public:
  explicit Added(const std::vector<QuestionTerm>& asked) {
    for (const QuestionTerm& term : asked) asked_.emplace(term.term.kind, term.key);
  }
  bool is_asked(const QuestionTerm& term) const { return asked_.contains({term.term.kind, term.key}); }
  bool is_full() const { return terms_.size() >= kMaxAdded; }
  void add(QuestionTerm term) {
    for (QuestionTerm& known : terms_)
      if (known.term.kind == term.term.kind && known.key == term.key) {
        known.share = std::max(known.share, term.share);
        return;
      }
    if (!is_full() && !is_asked(term)) terms_.push_back(std::move(term));
  }
  std::vector<QuestionTerm>& terms() { return terms_; }

 private:
  std::set<Key> asked_;
  std::vector<QuestionTerm> terms_;
};

Status add_synonyms(const Synonyms& synonyms, TermCounts& counts, const Analyzer& analyzer, const std::vector<Term>& whole,
                    const RankingParameters& parameters, const std::vector<QuestionTerm>& asked, Added& added) {
  for (const Synonyms::Found& found : synonyms.find(whole)) {
    if (added.is_full()) break;
    std::vector<QuestionTerm> phrase;
    for (const QuestionTerm& term : asked)
      if (lies_within(term.term.range, found.range)) phrase.push_back(term);
    if (phrase.empty()) continue;   // it asks rather than tells
    WENQU_ASSIGN_OR_RETURN(const double as_asked, weight_of(counts, parameters, phrase));
    const double share = std::min(parameters.synonyms, 1 / static_cast<double>(found.others->size()));
    for (const std::string& other : *found.others) {
      std::vector<QuestionTerm> terms = search_terms(analyzer.analyze_question(other));
      std::erase_if(terms, [&](const QuestionTerm& term) { return added.is_asked(term); });
      WENQU_ASSIGN_OR_RETURN(const double otherwise, weight_of(counts, parameters, terms));
      for (QuestionTerm& term : terms) {
        term.share = share * (otherwise > as_asked ? as_asked / otherwise : 1);
        term.term.range = found.range;
        if (term.share > 0) added.add(std::move(term));
      }
    }
  }
  return {};
}

// A word of Latin letters, as it was typed.
struct LatinWord {
  std::string letters;
  Term term;
  bool held = false;   // by a passage, as a word
};

class PinyinSearch {
 public:
  PinyinSearch(TermCounts& counts, Added& added) : counts_(counts), added_(added) {}

  // A row of words with nothing but spaces between.
  Status add(const std::vector<LatinWord>& row) {
    std::string together;
    for (const LatinWord& word : row) together += word.letters;
    if (together.size() > kMaxPinyinLetters) return {};
    for (const LatinWord& word : row)
      if (!word.held) WENQU_RETURN_IF_ERROR(add_if_known(word.letters, word.term));
    WENQU_ASSIGN_OR_RETURN(const bool found, add_pieces(together, row.front().term));
    for (size_t i = 0; !found && row.size() > 1 && i < row.size(); ++i)
      if (!row[i].held) WENQU_RETURN_IF_ERROR(add_pieces(row[i].letters, row[i].term).status());
    return {};
  }

 private:
  Result<bool> is_known(const std::string& letters) {
    if (letters.size() < 2) return false;
    const auto [known, fresh] = known_.try_emplace(letters, false);
    if (fresh) {
      WENQU_ASSIGN_OR_RETURN(const uint64_t holders, counts_.holders(TermField::pinyin, letters));
      known->second = holders > 0;
    }
    return known->second;
  }

  void add_term(const std::string& letters, const Term& place) {
    Term term = place;
    term.text = letters;
    term.kind = Term::Kind::pinyin;
    added_.add({std::move(term), index_term(letters), 1});
  }

  Status add_if_known(const std::string& letters, const Term& place) {
    WENQU_ASSIGN_OR_RETURN(const bool known, is_known(letters));
    if (known) add_term(letters, place);
    return {};
  }

  // Cuts them at syllables into the fewest pieces that are known, if that is possible; and, as these may be of titles alone, once more
  // without these pieces.
  Result<bool> add_pieces(const std::string& letters, const Term& place) {
    std::set<std::string> taken;
    WENQU_ASSIGN_OR_RETURN(const bool found, cut(letters, place, taken));
    if (found) WENQU_RETURN_IF_ERROR(cut(letters, place, taken).status());
    return found;
  }

  // Without pieces that are taken; takes those it finds.
  Result<bool> cut(const std::string& letters, const Term& place, std::set<std::string>& taken) {
    const std::vector<size_t> ends = syllable_ends(letters);
    constexpr size_t kNone = SIZE_MAX;
    struct Best {
      size_t pieces = kNone;
      size_t from = 0;
    };
    std::vector<Best> best(letters.size() + 1);
    best[0].pieces = 0;
    std::vector<size_t> begins{0};
    for (const size_t end : ends) {
      for (const size_t begin : begins) {
        if (end - begin > kMaxPieceLetters || best[begin].pieces == kNone || best[begin].pieces + 1 >= best[end].pieces) continue;
        const std::string piece = letters.substr(begin, end - begin);
        WENQU_ASSIGN_OR_RETURN(const bool known, is_known(piece));
        if (known && !taken.contains(piece)) best[end] = {best[begin].pieces + 1, begin};
      }
      begins.push_back(end);
    }
    if (ends.empty() || best[letters.size()].pieces == kNone) return false;
    for (size_t end = letters.size(); end > 0; end = best[end].from) {
      const std::string piece = letters.substr(best[end].from, end - best[end].from);
      if (taken.insert(piece).second) add_term(piece, place);
    }
    return true;
  }

  TermCounts& counts_;
  Added& added_;
  std::unordered_map<std::string, bool> known_;
};

// The letters of a word as pinyin in lower case; empty for one that has others than ASCII's and ü.
std::string latin_letters(std::string_view question, CharRange range) {
  std::string letters;
  size_t place = utf8_offset(question, range.begin);
  for (uint32_t i = range.begin; i < range.end && place < question.size(); ++i) {
    char32_t c = utf8_next(question, place);
    if (c == U'ü' || c == U'Ü') c = 'v';
    if (c >= 'A' && c <= 'Z') c += 'a' - 'A';
    if (c < 'a' || c > 'z') return {};
    letters += static_cast<char>(c);
  }
  return typed_pinyin(letters);
}

bool is_syllable(std::string_view letters) { return !syllable_ends(letters).empty(); }

Status add_pinyin(TermCounts& counts, std::string_view question, const std::vector<Term>& whole, Added& added) {
  PinyinSearch search(counts, added);
  std::vector<LatinWord> row;
  const auto finish_row = [&]() -> Status {
    const bool unheld = std::any_of(row.begin(), row.end(), [](const LatinWord& word) { return !word.held; });
    const Status done = unheld && !added.is_full() ? search.add(row) : Status();
    row.clear();
    return done;
  };
  for (const Term& term : whole) {
    if (term.kind == Term::Kind::bigram || term.kind == Term::Kind::dictionary_word || term.kind == Term::Kind::pinyin) continue;
    LatinWord word{term.kind == Term::Kind::word ? latin_letters(question, term.range) : std::string(), term};
    if (!row.empty() && (word.letters.empty() || term.range.begin != row.back().term.range.end + 1)) WENQU_RETURN_IF_ERROR(finish_row());
    if (word.letters.empty()) continue;
    WENQU_ASSIGN_OR_RETURN(const uint64_t holders, counts.holders(TermField::word, term.text));
    word.held = holders > 0;
    if (word.held && !(word.letters.size() <= kMaxBoundWord && is_syllable(word.letters)))
      WENQU_RETURN_IF_ERROR(finish_row());
    else
      row.push_back(std::move(word));
  }
  return finish_row();
}

}  // namespace

bool has_other_words(const Lexicon& lexicon, const RankingParameters& parameters) {
  return (!lexicon.synonyms().empty() && parameters.synonyms > 0) || lexicon.vocabulary().pinyin;
}

Status add_other_words(const std::shared_ptr<const Lexicon>& lexicon, TermCounts& counts, std::string_view question,
                       const RankingParameters& parameters, std::vector<QuestionTerm>& asked, std::vector<Term>& terms) {
  if (!has_other_words(*lexicon, parameters)) return {};
  const Analyzer analyzer(lexicon);
  const std::vector<Term> whole = analyzer.analyze(question);
  Added added(asked);
  if (parameters.synonyms > 0) WENQU_RETURN_IF_ERROR(add_synonyms(lexicon->synonyms(), counts, analyzer, whole, parameters, asked, added));
  if (lexicon->vocabulary().pinyin) WENQU_RETURN_IF_ERROR(add_pinyin(counts, question, whole, added));
  for (QuestionTerm& term : added.terms()) {
    terms.push_back(term.term);
    asked.push_back(std::move(term));
  }
  return {};
}

}  // namespace wenqu::retrieval
