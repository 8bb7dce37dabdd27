#include "retrieval/analysis/term_scanner.h"

#include <algorithm>

#include "base/utf8.h"
#include "retrieval/analysis/char_class.h"
#include "retrieval/analysis/stemmer.h"

namespace wenqu::retrieval {
namespace {

constexpr size_t kMaxWordChars = 64;      // of a longer word only so many characters are kept
constexpr size_t kMaxRunChars = 4096;     // a longer run of syllables is cut into words piece by piece
constexpr size_t kMaxCompoundParts = 8;   // a longer chain of parts is no name of anything
constexpr size_t kMinGroupedDigits = 7;   // of a telephone, card or order number written in groups
constexpr size_t kMaxGroupedDigits = 20;
constexpr size_t kMinAmountDigits = 4;    // before the point, of an amount that is found without its cents too

// A stretch of the folded text.
struct Span {
  size_t begin = 0;
  size_t end = 0;
  size_t size() const { return end - begin; }
};

class TermScanner {
 public:
  // No dictionary: neither words of Chinese nor pairs are wanted.
  TermScanner(const std::vector<FoldedChar>& text, const Dictionary* dictionary, const TermFilter& filter)
      : text_(text), dictionary_(dictionary), filter_(filter) {
    terms_.reserve(text.size() * 2);
    if (!dictionary || !dictionary->has_phrases()) return;
    whole_.reserve(text.size());
    for (const FoldedChar& c : text) whole_ += c.code_point;
  }

  std::vector<Term> run() {
    for (size_t i = 0; i < text_.size();) {
      if (!whole_.empty()) emit_phrases(i);
      switch (class_at(i)) {
        case CharClass::syllable: i = scan_syllables(i); break;
        case CharClass::letter:
        case CharClass::digit: i = scan_word(i); break;
        case CharClass::pictograph:
          emit(Term::Kind::word, utf8_of({i, i + 1}), {i, i + 1});
          ++position_;
          ++i;
          break;
        case CharClass::other: ++i; break;
      }
    }
    return std::move(terms_);
  }

 private:
  char32_t at(size_t i) const { return i < text_.size() ? text_[i].code_point : 0; }
  CharClass class_at(size_t i) const { return i < text_.size() ? classify(at(i)) : CharClass::other; }
  bool digit_at(size_t i) const { return class_at(i) == CharClass::digit; }
  bool letter_at(size_t i) const { return class_at(i) == CharClass::letter; }
  bool wordlike_at(size_t i) const { return letter_at(i) || digit_at(i); }
  bool syllable_at(size_t i) const {
    return class_at(i) == CharClass::syllable && !(filter_.skip && (*filter_.skip)[i]);
  }

  std::string utf8_of(Span span) const {
    std::string out;
    for (size_t i = span.begin; i < std::min(span.end, span.begin + kMaxWordChars); ++i)
      utf8_append(out, at(i));
    return out;
  }

  void emit(Term::Kind kind, std::string text, Span span) {
    const CharRange range{text_[span.begin].range.begin, text_[span.end - 1].range.end};
    terms_.push_back({std::move(text), kind, position_, range});
  }

  size_t scan_syllables(size_t i) {
    if (!syllable_at(i)) {  // skipped: it still takes its place
      ++position_;
      return i + 1;
    }
    emit_syllables(Term::Kind::unigram, {i, i + 1});
    if (dictionary_ && syllable_at(i + 1)) emit_syllables(Term::Kind::bigram, {i, i + 2});
    if (dictionary_ && i >= run_.end) cut_run(i);
    for (; next_word_ < words_.size() && words_[next_word_].begin == i; ++next_word_)
      emit_syllables(Term::Kind::dictionary_word, words_[next_word_]);
    ++position_;
    return i + 1;
  }

  // The words of the run that begins at `i`, those of two characters and more.
  void cut_run(size_t i) {
    run_ = {i, i};
    characters_.clear();
    for (; syllable_at(run_.end) && run_.size() < kMaxRunChars; ++run_.end) characters_ += at(run_.end);
    words_.clear();
    next_word_ = 0;
    dictionary_->cut(characters_, word_ends_);
    size_t begin = 0;
    for (const uint32_t end : word_ends_) {
      if (end - begin >= 2) words_.push_back({i + begin, i + end});
      if (end - begin >= 3 && dictionary_->has_user_words()) add_words_within(begin, end);
      begin = end;
    }
  }

  // A word of the user's is found by the words within it too, as it was before it was one.
  void add_words_within(size_t begin, size_t end) {
    const std::u32string_view word = std::u32string_view(characters_).substr(begin, end - begin);
    if (!dictionary_->is_user_word(word)) return;
    dictionary_->cut_plainly(word, inner_ends_);
    size_t from = 0;
    for (const uint32_t to : inner_ends_) {
      if (to - from >= 2 && to - from < word.size()) words_.push_back({run_.begin + begin + from, run_.begin + begin + to});
      from = to;
    }
  }

  // The user's words that begin at `i` and are not of syllables alone; each stands beside what it is made of.
  void emit_phrases(size_t i) {
    if (class_at(i) == CharClass::other || (wordlike_at(i) && i > 0 && wordlike_at(i - 1))) return;
    dictionary_->phrases_at(whole_, i, inner_ends_);
    for (const uint32_t end : inner_ends_) {
      if (wordlike_at(end - 1) && wordlike_at(end)) continue;
      bool skipped = false;
      for (size_t c = i; c < end; ++c) skipped = skipped || (filter_.skip && (*filter_.skip)[c]);
      if (!skipped) emit(Term::Kind::dictionary_word, utf8_of({i, end}), {i, end});
    }
  }

  void emit_syllables(Term::Kind kind, Span span) {
    if (filter_.drop_syllables) {
      std::u32string characters;
      for (size_t i = span.begin; i < span.end; ++i) characters += at(i);
      if (filter_.drop_syllables(characters)) return;
    }
    emit(kind, utf8_of(span), span);
  }

  static bool is_apostrophe(char32_t c) { return c == '\'' || c == 0x2019; }

  // "1,234,567": exactly three digits follow, and a digit stands before.
  bool groups_thousands(size_t i) const {
    return at(i) == ',' && digit_at(i - 1) && digit_at(i + 1) && digit_at(i + 2) && digit_at(i + 3) &&
           !digit_at(i + 4);
  }

  // Whether text_[i] holds two parts of one compound together, a word character standing before it.
  bool joins_parts(size_t i) const {
    if (!wordlike_at(i + 1)) return false;
    switch (at(i)) {
      case '-': case 0x2010: case '_': case '/': case '.': case '@': case '&': return true;
      case ':': return digit_at(i - 1) && digit_at(i + 1);  // 8:30, but not key:value
      default: return false;
    }
  }

  // A number that is written in groups, "(010) 6512-3456", "138 0013 8000", is found by its digits alone, and after a
  // country's code without that too.
  void emit_grouped_digits(size_t i) {
    if (i < digits_end_) return;
    std::string digits;
    size_t end = i, groups = 0, of_country = 0;
    for (size_t begin = i;;) {
      size_t group_end = begin;
      while (digit_at(group_end)) ++group_end;
      if (letter_at(group_end) || digits.size() + group_end - begin > kMaxGroupedDigits) break;
      for (size_t d = begin; d < group_end; ++d) utf8_append(digits, at(d));
      if (++groups == 1) of_country = group_end - begin;
      digits_end_ = end = group_end;
      size_t next = at(end) == ')' ? end + 1 : end;
      const bool by_space = at(next) == ' ';
      if (by_space || at(next) == '-' || at(next) == 0x2010) ++next;
      if (next == end || !digit_at(next) || (by_space && !(digit_at(next + 1) && digit_at(next + 2)))) break;
      begin = next;
    }
    const bool has_country = i > 0 && at(i - 1) == '+';
    if (groups > 1 && digits.size() >= kMinGroupedDigits) {
      emit(Term::Kind::word, digits, {i, end});
      if (has_country && of_country <= 3 && digits.size() - of_country >= kMinGroupedDigits) emit(Term::Kind::word, digits.substr(of_country), {i, end});
    } else if (groups == 1 && has_country && digits.size() == 13 && digits.starts_with("86")) {
      emit(Term::Kind::word, digits.substr(2), {i, end});
    }
  }

  // The word or compound that begins at `i`; returns where it ends.
  size_t scan_word(size_t i) {
    if (digit_at(i)) emit_grouped_digits(i);
    parts_.clear();
    Span part{i, i};
    size_t end = i;
    for (;;) {
      if (wordlike_at(end) || (end > part.begin && groups_thousands(end)) ||
          (is_apostrophe(at(end)) && letter_at(end - 1) && letter_at(end + 1))) {
        ++end;
        continue;
      }
      part.end = end;
      parts_.push_back(part);
      if (!joins_parts(end)) break;
      part.begin = ++end;
    }
    if (parts_.size() == 1) return scan_simple(parts_[0]);
    scan_compound({i, end});
    return end;
  }

  size_t scan_simple(Span word) {
    size_t end = word.end;  // C++, C#
    if (letter_at(end - 1) && at(end) == '+' && at(end + 1) == '+') end += 2;
    else if (word.size() == 1 && letter_at(end - 1) && at(end) == '#') end += 1;
    if (end > word.end && !wordlike_at(end)) emit(Term::Kind::word, utf8_of({word.begin, end}), {word.begin, end});
    else end = word.end;
    emit_part(word);
    ++position_;
    return end;
  }

  void scan_compound(Span whole) {
    bool has_digit = false, only_dots = true, only_initials = true, only_slashes_and_hyphens = true;
    for (size_t i = whole.begin; i < whole.end; ++i) has_digit = has_digit || digit_at(i);
    for (size_t p = 0; p < parts_.size(); ++p) {
      only_initials = only_initials && parts_[p].size() == 1 && letter_at(parts_[p].begin);
      if (p == 0) continue;
      const char32_t joint = at(parts_[p].begin - 1);
      only_dots = only_dots && joint == '.';
      only_slashes_and_hyphens =
          only_slashes_and_hyphens && (joint == '-' || joint == 0x2010 || joint == '/');
    }
    if (only_dots && only_initials) {  // U.S.A. is USA
      std::string initials;
      for (size_t p = 0; p < std::min(parts_.size(), kMaxWordChars); ++p)
        utf8_append(initials, at(parts_[p].begin));
      emit(Term::Kind::word, std::move(initials), whole);
      ++position_;
      return;
    }
    const bool decimal = only_dots && parts_.size() == 2 && is_number(parts_[0]) && is_number(parts_[1]);
    if (decimal) {
      emit_decimal(whole);
      ++position_;
      return;
    }
    emit_versions(whole);
    if (!has_digit && is_one_word_too()) emit_joined(whole);
    // "well-known" and "and/or" are no names.
    const bool is_name = has_digit || !only_slashes_and_hyphens;
    if (is_name && whole.size() <= kMaxWordChars && parts_.size() <= kMaxCompoundParts) {
      std::string name;
      for (size_t p = 0; p < parts_.size(); ++p) {
        if (p > 0) utf8_append(name, at(parts_[p].begin - 1) == 0x2010 ? U'-' : at(parts_[p].begin - 1));
        name += is_number(parts_[p]) ? number_of(parts_[p]) : utf8_of(parts_[p]);
      }
      emit(Term::Kind::word, std::move(name), whole);
    }
    for (Span part : parts_) {
      emit_part(part);
      ++position_;
    }
  }

  // 128.00 is 128 too, 1234.50 is 1234.5 and an amount of 1234.
  void emit_decimal(Span whole) {
    const std::string number = number_of(whole);
    emit(Term::Kind::word, number, whole);
    std::string plain = number.substr(0, number.find_last_not_of('0') + 1);
    if (plain.ends_with('.')) plain.pop_back();
    if (plain != number && !plain.empty()) emit(Term::Kind::word, plain, whole);
    const std::string amount = number.substr(0, number.find('.'));
    if (amount.size() >= kMinAmountDigits && amount != plain) emit(Term::Kind::word, amount, whole);
  }

  // v2.0.1 is 2.0.1, and one of 2.0.
  void emit_versions(Span whole) {
    const bool has_letter = at(whole.begin) == 'v' && digit_at(whole.begin + 1);
    if (parts_.size() > kMaxCompoundParts) return;
    std::string raw, chain;
    for (size_t p = 0; p < parts_.size(); ++p) {
      const Span part{parts_[p].begin + (p == 0 && has_letter ? 1 : 0), parts_[p].end};
      if (!is_number(part) || (p > 0 && at(part.begin - 1) != '.')) return;
    }
    for (size_t p = 0; p < parts_.size(); ++p) {
      const Span part{parts_[p].begin + (p == 0 && has_letter ? 1 : 0), parts_[p].end};
      raw += (p > 0 ? "." : "") + utf8_of(part);
      chain += (p > 0 ? "." : "") + number_of(part);
      if (p == 0 && has_letter) emit(Term::Kind::word, chain, part);   // its other parts are terms anyway
      if (p > 0 && (has_letter || p + 1 < parts_.size())) emit(Term::Kind::word, p == 1 ? raw : chain, whole);   // of two parts as a decimal
    }
  }

  // "Wi-Fi" and "Ph.D.", which are written "wifi" and "PhD" as well.
  bool is_one_word_too() const {
    for (size_t p = 0; p < parts_.size(); ++p) {
      const char32_t joint = p > 0 ? at(parts_[p].begin - 1) : U'-';
      if (joint != '-' && joint != 0x2010 && !(joint == '.' && parts_[p].size() <= 2 && parts_[p - 1].size() <= 2)) return false;
    }
    return parts_.size() <= kMaxCompoundParts;
  }

  void emit_joined(Span whole) {
    std::string word;
    for (const Span part : parts_) word += utf8_of(part);
    if (whole.size() <= kMaxWordChars) emit_word(std::move(word), whole, /*stems=*/true);
  }

  bool is_number(Span part) const {
    for (size_t i = part.begin; i < part.end; ++i)
      if (!digit_at(i) && at(i) != ',') return false;
    return true;
  }

  // Without thousands separators, and with 03 as 3, so that 2024-03-05 meets 3月5日.
  std::string number_of(Span part) const {
    if (part.size() == 2 && at(part.begin) == '0') ++part.begin;
    std::string out = utf8_of(part);
    std::erase(out, ',');
    return out;
  }

  // A word without joints: letters, digits, or both ("A380", found by "380" too).
  void emit_part(Span part) {
    if (is_number(part)) return emit_word(number_of(part), part, /*stems=*/false);
    const bool mixed = std::any_of(text_.begin() + static_cast<ptrdiff_t>(part.begin),
                                   text_.begin() + static_cast<ptrdiff_t>(part.end),
                                   [](const FoldedChar& c) { return classify(c.code_point) == CharClass::digit; });
    emit_word(utf8_of(part), part, !mixed);
    if (!mixed || part.size() > kMaxWordChars) return;
    for (size_t i = part.begin; i < part.end;) {
      size_t end = i + 1;
      while (end < part.end && digit_at(end) == digit_at(i)) ++end;
      if (end - i >= 2) emit_word(utf8_of({i, end}), {i, end}, !digit_at(i));
      i = end;
    }
  }

  void emit_word(std::string word, Span span, bool stems) {
    if (size_t quote; (quote = word.find("\u2019")) != std::string::npos) {
      for (; quote != std::string::npos; quote = word.find("\u2019")) word.replace(quote, 3, "'");
    }
    if (filter_.drop_word && filter_.drop_word(word, in_capitals(span))) return;
    emit(Term::Kind::word, stems ? stemmer_.stem(std::move(word)) : std::move(word), span);
  }

  bool in_capitals(Span span) const {
    for (size_t i = span.begin; i < span.end; ++i)
      if (!text_[i].capital) return false;
    return true;
  }

  const std::vector<FoldedChar>& text_;
  const Dictionary* dictionary_;
  const TermFilter& filter_;
  std::vector<Term> terms_;
  std::vector<Span> parts_;
  Span run_;                         // of syllables, cut into words
  std::u32string characters_;        // of the run
  std::vector<uint32_t> word_ends_;  // counted in the run
  std::vector<uint32_t> inner_ends_;
  std::vector<Span> words_;          // of the run, those that hold others first
  size_t next_word_ = 0;             // the first of them that was not given out
  std::u32string whole_;             // the text, where the user's phrases are looked for
  Stemmer stemmer_;
  size_t digits_end_ = 0;            // of the groups of digits last given out
  uint32_t position_ = 0;
};

}  // namespace

std::vector<Term> scan_terms(const std::vector<FoldedChar>& text, const Dictionary& dictionary, const TermFilter& filter) {
  return TermScanner(text, &dictionary, filter).run();
}

std::vector<Term> scan_units(const std::vector<FoldedChar>& text) {
  return TermScanner(text, nullptr, {}).run();
}

}  // namespace wenqu::retrieval
