#include <algorithm>
#include <array>
#include <string>

#include <unicode/uchar.h>

#include "base/utf8.h"
#include "retrieval/analysis/char_class.h"
#include "retrieval/documents/passages.h"

namespace wenqu::retrieval {
namespace {

bool contains(std::u32string_view set, char32_t c) { return set.find(c) != std::u32string_view::npos; }
bool is_space(char32_t c) { return c < 0x80 ? c == ' ' || (c >= 9 && c <= 13) : u_isUWhiteSpace(static_cast<UChar32>(c)); }
bool is_line_end(char32_t c) { return c == '\n' || c == 0x2028 || c == 0x2029; }
bool ends_chinese(char32_t c) { return contains(U"。！？；…｡", c); }
bool ends_english(char32_t c) { return c == '.' || c == '!' || c == '?'; }
bool is_closing(char32_t c) { return contains(U"”’」』）》】〉〕］\"')]", c); }

// Followed by a name or a number, their full stop ends no sentence.
constexpr std::array<std::u32string_view, 30> kTitles = {
    U"mr", U"mrs", U"ms", U"dr", U"prof", U"st", U"mt", U"gen", U"sen", U"rep", U"rev", U"hon", U"capt", U"sgt",
    U"vs", U"fig", U"eq", U"sec", U"ch", U"vol", U"pp", U"dept", U"est", U"approx", U"cf", U"al", U"jr", U"sr",
    U"e.g", U"i.e"};
// These may end a sentence too: what follows decides.
constexpr std::array<std::u32string_view, 19> kShortened = {
    U"no", U"nos", U"inc", U"ltd", U"co", U"corp", U"etc", U"a.m", U"p.m", U"jan", U"feb", U"mar", U"apr", U"aug",
    U"sept", U"oct", U"nov", U"dec", U"bros"};

class SentenceSplitter {
 public:
  explicit SentenceSplitter(std::string_view text) : text_(utf8_to_utf32(text)) {}

  std::vector<CharRange> run() {
    for (size_t i = 0; i < text_.size();) {
      if (is_line_end(text_[i]) && !continues_after_line_end(i)) {
        close(i);
        ++i;
      } else if (ends_chinese(text_[i]) || ends_english(text_[i])) {
        i = scan_terminators(i);
      } else {
        ++i;
      }
    }
    close(text_.size());
    return std::move(sentences_);
  }

 private:
  char32_t at(size_t i) const { return i < text_.size() ? text_[i] : 0; }
  bool is_letter(char32_t c) const { return classify(c) == CharClass::letter; }

  void close(size_t end) {
    size_t begin = begin_;
    begin_ = end;
    while (begin < end && is_space(text_[begin])) ++begin;
    while (end > begin && is_space(text_[end - 1])) --end;
    if (begin < end) sentences_.push_back({static_cast<uint32_t>(begin), static_cast<uint32_t>(end)});
  }

  // A line wrapped inside an English sentence: a letter or comma before, a small letter after.
  bool continues_after_line_end(size_t i) const {
    const size_t before = i > 0 && text_[i - 1] == '\r' ? i - 1 : i;
    if (before == 0 || before <= begin_) return false;
    const char32_t last = text_[before - 1];
    return (is_letter(last) || last == ',') && u_islower(static_cast<UChar32>(at(i + 1)));
  }

  // Takes the marks at `i` with the closing quotes and brackets after them; returns where they end.
  size_t scan_terminators(size_t i) {
    bool chinese = false;
    size_t end = i;
    for (; end < text_.size() && (ends_chinese(text_[end]) || ends_english(text_[end])); ++end)
      chinese = chinese || ends_chinese(text_[end]);
    const size_t marks_end = end;
    while (end < text_.size() && is_closing(text_[end])) ++end;

    const char32_t next = at(end);
    if (contains(U"，、,：", next) && next != 0) return end;
    if (chinese || ends_english_sentence(i, marks_end, end)) close(end);
    return end;
  }

  bool ends_english_sentence(size_t begin, size_t marks_end, size_t end) const {
    if (end == text_.size()) return true;
    const char32_t next = text_[end];
    if (!is_space(next)) {  // 3.14, example.com; but "v2 is out.下一句"
      const bool number_before = begin > 0 && classify(text_[begin - 1]) == CharClass::digit;
      return classify(next) == CharClass::syllable && !(number_before && text_[begin] == '.');
    }
    size_t after = end;
    while (after < text_.size() && is_space(text_[after]) && !is_line_end(text_[after])) ++after;
    if (after == text_.size() || is_line_end(text_[after])) return true;
    if (u_islower(static_cast<UChar32>(text_[after]))) return false;
    const bool single_stop = marks_end == begin + 1 && text_[begin] == '.' && end == marks_end;
    return !single_stop || !abbreviates(begin, text_[after]);
  }

  // Whether the word before the full stop at `stop` is an abbreviation, `next` being what follows.
  bool abbreviates(size_t stop, char32_t next) const {
    constexpr size_t kLongest = 8;
    size_t begin = stop;
    while (begin > begin_ && stop - begin < kLongest && (is_letter(text_[begin - 1]) || text_[begin - 1] == '.'))
      --begin;
    if (begin > begin_ && is_letter(text_[begin - 1])) return false;  // longer than any
    std::u32string word(text_.substr(begin, stop - begin));
    for (char32_t& c : word) c = static_cast<char32_t>(u_tolower(static_cast<UChar32>(c)));
    if (word.empty()) return numbers_item(stop);
    if (word.size() == 1) return word != U"i";  // an initial: J. Smith
    if (std::find(kTitles.begin(), kTitles.end(), word) != kTitles.end()) return true;
    if (std::find(kShortened.begin(), kShortened.end(), word) != kShortened.end())
      return classify(next) == CharClass::digit;
    return is_initials(word);  // U.S. Army
  }

  static bool is_initials(const std::u32string& word) {
    for (size_t i = 0; i < word.size(); ++i)
      if ((word[i] == '.') != (i % 2 == 1)) return false;
    return true;
  }

  // "1. First item" at the start of a line.
  bool numbers_item(size_t stop) const {
    size_t begin = stop;
    while (begin > begin_ && stop - begin < 4 && classify(text_[begin - 1]) == CharClass::digit) --begin;
    if (begin == stop) return false;
    while (begin > begin_ && is_space(text_[begin - 1]) && !is_line_end(text_[begin - 1])) --begin;
    return begin == begin_ || is_line_end(text_[begin - 1]);
  }

  std::u32string text_;
  std::vector<CharRange> sentences_;
  size_t begin_ = 0;  // of the sentence in hand
};

}  // namespace

std::vector<CharRange> split_sentences(std::string_view text) { return SentenceSplitter(text).run(); }

}  // namespace wenqu::retrieval
