#include "retrieval/analysis/fold.h"

#include <array>

#include <unicode/uchar.h>
#include <unicode/unorm2.h>
#include <unicode/uscript.h>
#include <unicode/utf16.h>

#include "base/utf8.h"
#include "retrieval/analysis/simplified.h"

namespace wenqu::retrieval {
namespace {

// Marks are put in canonical order by insertion, so an endless pile of them would cost quadratic
// time; no real character carries this many.
constexpr size_t kMaxSegment = 32;
// The longest compatibility mapping (U+FDFA) has 18 UTF-16 units.
constexpr size_t kMaxExpansion = 18;

const UNormalizer2* normalizer() {
  static const UNormalizer2* instance = [] {
    UErrorCode error = U_ZERO_ERROR;
    const UNormalizer2* found = unorm2_getNFKCCasefoldInstance(&error);
    return U_SUCCESS(error) ? found : nullptr;
  }();
  return instance;
}

// No character composes with an ideograph of the main block or changes it.
bool stays_itself(char32_t c) { return c >= 0x4E00 && c <= 0x9FFF; }

const UNormalizer2* decomposer() {
  static const UNormalizer2* instance = [] {
    UErrorCode error = U_ZERO_ERROR;
    const UNormalizer2* found = unorm2_getNFDInstance(&error);
    return U_SUCCESS(error) ? found : nullptr;
  }();
  return instance;
}

// Of scripts where a word is often written without its marks: é, ñ, ё, ά, and the vowels of Arabic and Hebrew.
bool loses_marks(UChar32 base) {
  UErrorCode error = U_ZERO_ERROR;
  switch (uscript_getScript(base, &error)) {
    case USCRIPT_LATIN: case USCRIPT_GREEK: case USCRIPT_ARABIC: case USCRIPT_HEBREW: return true;
    default: return base == 0x435;   // ё is written е; й is another letter than и
  }
}

bool is_mark(UChar32 c) { return u_charType(c) == U_NON_SPACING_MARK; }

// The letter without its marks.
UChar32 bare(UChar32 c) {
  switch (c) {   // their strokes are no marks to Unicode
    case 0xF8: return 'o';
    case 0x142: return 'l';
    case 0x111: return 'd';
    case 0x131: return 'i';
    default: break;
  }
  const UNormalizer2* rules = decomposer();
  if (c < 0xC0 || stays_itself(static_cast<char32_t>(c)) || !rules) return c;
  std::array<UChar, kMaxExpansion> parts;
  UErrorCode error = U_ZERO_ERROR;
  const int32_t size = unorm2_getDecomposition(rules, c, parts.data(), static_cast<int32_t>(parts.size()), &error);
  if (U_FAILURE(error) || size < 2) return c;
  int32_t at = 0;
  UChar32 base;
  U16_NEXT(parts.data(), at, size, base);
  return loses_marks(base) ? base : c;
}

bool starts_segment(const UNormalizer2* rules, char32_t c) {
  return c < 0x300 || stays_itself(c) || !rules ||
         unorm2_hasBoundaryBefore(rules, static_cast<UChar32>(c));
}

class Folder {
 public:
  explicit Folder(std::string_view text) : text_(text) { folded_.reserve(text.size() / 2); }

  std::vector<FoldedChar> run() {
    while (has_next()) {
      const char32_t first = take();
      if (stays_itself(first)) {
        push(first, false);
      } else if (first < 0x80 && (!has_next() || starts_segment(rules_, peek_))) {
        const bool capital = first >= 'A' && first <= 'Z';
        push(capital ? first + 32 : first, capital);
      } else {
        fold_segment(first);
      }
      begin_ = index_;
    }
    return std::move(folded_);
  }

 private:
  bool has_next() {
    if (peeked_) return true;
    if (pos_ >= text_.size()) return false;
    peek_ = utf8_next(text_, pos_);
    return peeked_ = true;
  }

  char32_t take() {
    peeked_ = false;
    ++index_;
    return peek_;
  }

  void push(char32_t c, bool capital) { folded_.push_back({simplified(c), {begin_, index_}, capital}); }

  void fold_segment(char32_t first) {
    std::array<UChar, 2 * kMaxSegment> segment;
    std::array<UChar, kMaxExpansion * kMaxSegment> result;
    int32_t length = 0;
    U16_APPEND_UNSAFE(segment.data(), length, first);
    for (size_t n = 1; n < kMaxSegment && has_next() && !starts_segment(rules_, peek_); ++n) {
      const char32_t c = take();
      U16_APPEND_UNSAFE(segment.data(), length, c);
    }
    if (!rules_) return push(first, false);

    UErrorCode error = U_ZERO_ERROR;
    const int32_t size = unorm2_normalize(rules_, segment.data(), length, result.data(),
                                          static_cast<int32_t>(result.size()), &error);
    if (U_FAILURE(error)) return push(first, false);
    const bool capital = u_isupper(static_cast<UChar32>(first));
    for (int32_t i = 0, last = 0; i < size;) {
      UChar32 c;
      U16_NEXT(result.data(), i, size, c);
      if (is_mark(c) && last != 0 && loses_marks(last)) continue;
      push(static_cast<char32_t>(last = bare(c)), capital);
    }
  }

  std::string_view text_;
  const UNormalizer2* rules_ = normalizer();
  std::vector<FoldedChar> folded_;
  size_t pos_ = 0;       // byte after the last character read
  uint32_t index_ = 0;   // code points taken
  uint32_t begin_ = 0;   // where the segment in hand begins
  char32_t peek_ = 0;
  bool peeked_ = false;
};

}  // namespace

std::vector<FoldedChar> fold(std::string_view text) { return Folder(text).run(); }

}  // namespace wenqu::retrieval
