#include "retrieval/analysis/analyzer.h"

#include <algorithm>

#include "base/utf8.h"
#include "retrieval/analysis/fold.h"
#include "retrieval/analysis/lexicon.h"
#include "retrieval/analysis/pinyin.h"
#include "retrieval/analysis/question_words.h"
#include "retrieval/analysis/term_scanner.h"

namespace wenqu::retrieval {
namespace {

constexpr size_t kMaxReadChars = 12;     // of a longer word nobody types the pinyin
constexpr size_t kMinInitials = 3;       // fewer letters, such as "bj", stand for too many words
constexpr size_t kTitleWords = 4;        // of a title so many words in a row are found by their pinyin together
constexpr size_t kMinTitleInitials = 2;

// Adds the ways to read a word that stands at `place`.
void add_readings(std::u32string_view word, const Term& place, CharRange range, size_t min_initials, std::vector<Term>& terms) {
  if (word.size() < 2 || word.size() > kMaxReadChars) return;
  const std::vector<Reading> readings = readings_of(word);
  std::vector<std::string> texts;
  for (const Reading& reading : readings) {
    texts.push_back(reading.full);
    if (word.size() >= min_initials) texts.push_back(reading.initials);
  }
  std::sort(texts.begin(), texts.end());
  texts.erase(std::unique(texts.begin(), texts.end()), texts.end());
  for (std::string& text : texts) terms.push_back({std::move(text), Term::Kind::pinyin, place.position, range});
}

void add_pinyin_of_words(std::vector<Term>& terms) {
  const size_t size = terms.size();
  for (size_t i = 0; i < size; ++i)
    if (terms[i].kind == Term::Kind::dictionary_word) {
      const Term word = terms[i];
      add_readings(utf8_to_utf32(word.text), word, word.range, kMinInitials, terms);
    }
}

// A word or a character outside of words, in the order of a title.
struct Piece {
  std::u32string characters;
  Term place;
};

std::vector<Piece> pieces_of(const std::vector<Term>& title) {
  std::vector<Piece> pieces;
  for (const Term& term : title) {
    if (term.kind != Term::Kind::unigram && term.kind != Term::Kind::dictionary_word) continue;
    const bool is_within = !pieces.empty() && term.range.begin < pieces.back().place.range.end;
    const bool holds_last = !pieces.empty() && term.range.begin == pieces.back().place.range.begin &&
                            term.range.end > pieces.back().place.range.end;
    if (holds_last) pieces.pop_back();
    if (holds_last || !is_within) pieces.push_back({utf8_to_utf32(term.text), term});
  }
  return pieces;
}

void add_pinyin_of_title(std::vector<Term>& terms) {
  const std::vector<Piece> pieces = pieces_of(terms);
  for (size_t begin = 0; begin < pieces.size(); ++begin) {
    std::u32string together;
    for (size_t end = begin; end < std::min(pieces.size(), begin + kTitleWords); ++end) {
      if (end > begin && pieces[end].place.range.begin != pieces[end - 1].place.range.end) break;
      together += pieces[end].characters;
      add_readings(together, pieces[begin].place, {pieces[begin].place.range.begin, pieces[end].place.range.end}, kMinTitleInitials, terms);
    }
  }
}

bool only_function_characters(const std::u32string& characters) {
  for (char32_t c : characters)
    if (!is_function_character(c)) return false;
  return true;
}

// Capitals tell WHO and IT from "who" and "it", unless everything is in capitals.
bool has_small_letters_or_syllables(const std::vector<FoldedChar>& text) {
  for (const FoldedChar& c : text)
    if ((c.code_point >= 'a' && c.code_point <= 'z' && !c.capital) || c.code_point >= 0x3000) return true;
  return false;
}

}  // namespace

Analyzer::Analyzer() : lexicon_(Lexicon::plain()) {}

std::vector<Term> Analyzer::analyze(std::string_view text) const {
  const std::vector<FoldedChar> folded = fold(text);
  std::vector<Term> terms = scan_terms(folded, lexicon_->dictionary(), {});
  if (lexicon_->vocabulary().pinyin) add_pinyin_of_words(terms);
  return terms;
}

std::vector<Term> Analyzer::analyze_title(std::string_view title, std::string_view author) const {
  std::string both(title);
  if (!author.empty()) (both += '\n') += author;
  const std::vector<FoldedChar> folded = fold(both);
  std::vector<Term> terms = scan_terms(folded, lexicon_->dictionary(), {});
  if (lexicon_->vocabulary().pinyin) add_pinyin_of_title(terms);
  return terms;
}

std::vector<Term> Analyzer::analyze_question(std::string_view question) const {
  std::vector<Term> terms = told_by(question);
  return terms.empty() ? scan_terms(fold(question), lexicon_->dictionary(), {}) : terms;
}

bool Analyzer::only_asks(std::string_view question) const { return told_by(question).empty(); }

std::vector<Term> Analyzer::told_by(std::string_view question) const {
  const std::vector<FoldedChar> folded = fold(question);
  const std::vector<bool> asking = find_question_phrases(folded, lexicon_->dictionary());
  const bool capitals_count = has_small_letters_or_syllables(folded);

  TermFilter filter;
  filter.skip = &asking;
  filter.drop_syllables = only_function_characters;
  filter.drop_word = [&](const std::string& word, bool capitals) {
    return is_english_stop_word(word) && !(capitals && capitals_count && word.size() > 1);
  };
  return scan_terms(folded, lexicon_->dictionary(), filter);
}

}  // namespace wenqu::retrieval
