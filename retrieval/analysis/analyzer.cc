#include "retrieval/analysis/analyzer.h"

#include "retrieval/analysis/dictionary.h"
#include "retrieval/analysis/fold.h"
#include "retrieval/analysis/question_words.h"
#include "retrieval/analysis/term_scanner.h"

namespace wenqu::retrieval {
namespace {

const Dictionary& dictionary() {
  static const Dictionary built_in;
  return built_in;
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

std::vector<Term> Analyzer::analyze(std::string_view text) const {
  const std::vector<FoldedChar> folded = fold(text);
  return scan_terms(folded, dictionary(), {});
}

std::vector<Term> Analyzer::analyze_question(std::string_view question) const {
  const std::vector<FoldedChar> folded = fold(question);
  const std::vector<bool> asking = find_question_phrases(folded);
  const bool capitals_count = has_small_letters_or_syllables(folded);

  TermFilter filter;
  filter.skip = &asking;
  filter.drop_syllables = only_function_characters;
  filter.drop_word = [&](const std::string& word, bool capitals) {
    return is_english_stop_word(word) && !(capitals && capitals_count && word.size() > 1);
  };
  std::vector<Term> terms = scan_terms(folded, dictionary(), filter);
  return terms.empty() ? scan_terms(folded, dictionary(), {}) : terms;
}

}  // namespace wenqu::retrieval
