#include "engine/tokenizer/pre_tokenizer.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <iterator>

#include "base/utf8.h"
#include "engine/tokenizer/char_class.h"

namespace wenqu::engine {
namespace {

// The text as code points with their classes, and where each begins in bytes. Ill-formed bytes stand
// as U+FFFD of their own length, so that pieces always add up to the text.
class Characters {
 public:
  explicit Characters(std::string_view text) : text_(text) {
    points_.reserve(text.size());
    begins_.reserve(text.size() + 1);
    for (size_t pos = 0; pos < text.size();) {
      begins_.push_back(static_cast<uint32_t>(pos));
      const char32_t c = utf8_next(text, pos);
      points_.push_back(c);
      classes_.push_back(CharClass::of(c));
    }
    begins_.push_back(static_cast<uint32_t>(text.size()));
  }
  size_t size() const { return points_.size(); }
  char32_t at(size_t i) const { return points_[i]; }
  bool is(size_t i, uint16_t classes) const { return (classes_[i] & classes) != 0; }
  std::string_view piece(size_t begin, size_t end) const {
    return text_.substr(begins_[begin], begins_[end] - begins_[begin]);
  }

 private:
  std::string_view text_;
  std::vector<char32_t> points_;
  std::vector<uint16_t> classes_;
  std::vector<uint32_t> begins_;
};

struct Range {
  size_t begin, end;
};

constexpr uint16_t L = CharClass::kLetter, M = CharClass::kMark, N = CharClass::kNumber, P = CharClass::kPunctuation,
                  S = CharClass::kSymbol, Space = CharClass::kSpace, Upper = CharClass::kUpper, Lower = CharClass::kLower,
                   Han = CharClass::kHan;

bool is_break(char32_t c) { return c == '\r' || c == '\n'; }
bool is_ascii_letter(char32_t c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

// A scanner gives the end of the match that begins at `i` in [i, end), or `i` when nothing matches there.

// \s*[\r\n]+ | \s+(?!\S) | \s+   with `i` at a space: these three never fail together.
size_t match_space(const Characters& text, size_t i, size_t end) {
  size_t run = i;
  size_t after_break = i;   // behind the last line break of the run
  while (run < end && text.is(run, Space)) {
    if (is_break(text.at(run))) after_break = run + 1;
    ++run;
  }
  if (after_break > i) return after_break;
  // The last space before other text goes with that text, unless it is the only one.
  if (run < end && run - i > 1) return run - 1;
  return run;
}

// (?i:'s|'t|'re|'ve|'m|'ll|'d)
size_t match_contraction(const Characters& text, size_t i, size_t end) {
  if (text.at(i) != '\'' || i + 1 >= end) return i;
  const auto lower = [&](size_t k) -> char32_t {
    const char32_t c = text.at(k);
    if (c == 0x17F) return 's';   // the long s folds to s
    return c >= 'A' && c <= 'Z' ? c + 32 : c;
  };
  const char32_t a = lower(i + 1);
  if (a == 's' || a == 't' || a == 'm' || a == 'd') return i + 2;
  if (i + 2 < end) {
    const char32_t b = lower(i + 2);
    if ((a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l')) return i + 3;
  }
  return i;
}

// What most of them end with: \p{N}{1,max} | ?[^\s<letters>\p{N}]+[\r\n]* | spaces. Always matches.
size_t match_rest(const Characters& text, size_t i, size_t end, size_t max_digits, uint16_t letters = L) {
  if (text.is(i, N)) {
    size_t k = i + 1;
    while (k < end && k - i < max_digits && text.is(k, N)) ++k;
    return k;
  }
  const size_t first = text.at(i) == ' ' ? i + 1 : i;
  size_t k = first;
  while (k < end && !text.is(k, Space | letters | N)) ++k;
  if (k > first) {
    while (k < end && is_break(text.at(k))) ++k;
    return k;
  }
  return text.is(i, Space) ? match_space(text, i, end) : i + 1;
}

// The regular expression of Llama 3 and, with max_digits 1, of Qwen2; of Qwen3.5, whose letters are L | M:
//   contraction | [^\r\n\p{L}\p{N}]?<letters>+ | rest
// A mark may be the one character in front of letters or a letter itself, which comes to the same.
void scan_gpt4_like(const Characters& text, Range in, size_t max_digits, uint16_t letters, std::vector<Range>& out) {
  size_t i = in.begin;
  while (i < in.end) {
    size_t next = match_contraction(text, i, in.end);
    if (next == i) {
      // A letter, or one other character in front of letters.
      const size_t first = text.is(i, letters | N) || is_break(text.at(i)) ? i : i + 1;
      size_t k = first;
      while (k < in.end && text.is(k, letters)) ++k;
      if (k > first) next = k;
    }
    if (next == i) next = match_rest(text, i, in.end, max_digits, letters);
    out.push_back({i, next});
    i = next;
  }
}

// Kimi-K2's words: an upper-case part, then a lower-case part, of which either may be missing; letters
// without case and marks belong to both, and Han characters to neither.
//   [^\r\n\p{L}\p{N}]? (upper* lower+ | upper+ lower*) contraction?
// `i` where nothing matches.
size_t match_cased_word(const Characters& text, size_t i, size_t end) {
  const auto upper = [&](size_t k) { return text.is(k, L | M) && !text.is(k, Lower | Han); };
  const auto lower = [&](size_t k) { return text.is(k, L | M) && !text.is(k, Upper | Han); };
  // upper* lower+ from `first`, or `first`.
  const auto first_form = [&](size_t first) {
    size_t k = first;
    while (k < end && upper(k)) ++k;
    if (k < end && lower(k)) {
      while (k < end && lower(k)) ++k;
      return k;
    }
    // The upper part gives back until a character without case can be the lower part.
    while (k > first && !lower(k - 1)) --k;
    return k;
  };
  const auto second_form = [&](size_t first) {
    size_t k = first;
    while (k < end && upper(k)) ++k;
    if (k == first) return first;
    while (k < end && lower(k)) ++k;
    return k;
  };
  const bool prefix = !is_break(text.at(i)) && !text.is(i, L | N);
  const auto either = [&](auto form) {
    if (prefix && i + 1 < end)
      if (const size_t k = form(i + 1); k > i + 1) return k;
    return form(i);
  };
  size_t k = either(first_form);
  if (k == i) k = either(second_form);
  return k > i && k < end ? match_contraction(text, k, end) : k;
}

void scan_kimi_k2(const Characters& text, Range in, std::vector<Range>& out) {
  for (size_t i = in.begin; i < in.end;) {
    size_t next = i;
    while (next < in.end && text.is(next, Han)) ++next;
    if (next == i) next = match_cased_word(text, i, in.end);
    if (next == i) next = match_rest(text, i, in.end, 3);
    out.push_back({i, next});
    i = next;
  }
}

// Applies a rule inside every piece: its matches become pieces, and so does what lies between them.
template <typename Match>
std::vector<Range> split(const std::vector<Range>& pieces, Match match) {
  std::vector<Range> out;
  out.reserve(pieces.size());
  for (const Range& piece : pieces) {
    size_t gap = piece.begin;
    size_t i = piece.begin;
    while (i < piece.end) {
      const size_t next = match(i, piece);
      if (next == i) {
        ++i;
        continue;
      }
      if (gap < i) out.push_back({gap, i});
      out.push_back({i, next});
      gap = i = next;
    }
    if (gap < piece.end) out.push_back({gap, piece.end});
  }
  return out;
}

// One or more characters of a kind.
template <typename Is>
auto run_of(Is is) {
  return [is](size_t i, const Range& piece) {
    while (i < piece.end && is(i)) ++i;
    return i;
  };
}

// \s?X+
template <typename Is>
auto spaced_run_of(const Characters& text, Is is) {
  return [&text, is](size_t i, const Range& piece) {
    size_t first = i;
    if (text.is(i, Space) && i + 1 < piece.end && is(i + 1)) first = i + 1;
    size_t k = first;
    while (k < piece.end && is(k)) ++k;
    return k > first ? k : i;
  };
}

struct CodeRange {
  char32_t first, last;
};

// The letters that deepseek-llm's second rule lists; all of scripts with upper and lower case.
constexpr CodeRange kCasedLetters[] = {
    {'A', 'Z'}, {'a', 'z'}, {0xB5, 0xB5}, {0xC0, 0xD6}, {0xD8, 0xF6}, {0xF8, 0x1BA}, {0x1BC, 0x1BF}, {0x1C4, 0x293},
    {0x295, 0x2AF}, {0x370, 0x373}, {0x376, 0x377}, {0x37B, 0x37D}, {0x37F, 0x37F}, {0x386, 0x386}, {0x388, 0x38A},
    {0x38C, 0x38C}, {0x38E, 0x3A1}, {0x3A3, 0x3F5}, {0x3F7, 0x481}, {0x48A, 0x52F}, {0x531, 0x556}, {0x10A0, 0x10C5},
    {0x13A0, 0x13F5}, {0x13F8, 0x13FD}, {0x1C90, 0x1CBA}, {0x1CBD, 0x1CBF}, {0x1D00, 0x1D2B}, {0x1D6B, 0x1D77},
    {0x1D79, 0x1D9A}, {0x1E00, 0x1F15}, {0x1F18, 0x1F1D}, {0x1F20, 0x1F45}, {0x1F48, 0x1F4D}, {0x1F50, 0x1F57},
    {0x1F59, 0x1F59}, {0x1F5B, 0x1F5B}, {0x1F5D, 0x1F5D}, {0x1F5F, 0x1F7D}, {0x1F80, 0x1FB4}, {0x1FB6, 0x1FBC},
    {0x1FBE, 0x1FBE}, {0x1FC2, 0x1FC4}, {0x1FC6, 0x1FCC}, {0x1FD0, 0x1FD3}, {0x1FD6, 0x1FDB}, {0x1FE0, 0x1FEC},
    {0x1FF2, 0x1FF4}, {0x1FF6, 0x1FFC}, {0x2102, 0x2102}, {0x2107, 0x2107}, {0x210A, 0x2113}, {0x2115, 0x2115},
    {0x2119, 0x211D}, {0x2124, 0x2124}, {0x2126, 0x2126}, {0x2128, 0x2128}, {0x212A, 0x212D}, {0x212F, 0x2134},
    {0x2139, 0x2139}, {0x213C, 0x213F}, {0x2145, 0x2149}, {0x214E, 0x214E}, {0x2183, 0x2184}, {0x2C00, 0x2C7B},
    {0x2C7E, 0x2CE4}, {0x2CEB, 0x2CEE}, {0x2CF2, 0x2CF3}, {0xA640, 0xA66D}, {0xA680, 0xA69B}, {0xA722, 0xA76F},
    {0xA771, 0xA787}, {0xA78B, 0xA78E}, {0xAB70, 0xABBF}, {0xFB00, 0xFB06}, {0xFB13, 0xFB17}, {0xFF21, 0xFF3A},
    {0xFF41, 0xFF5A}, {0x10400, 0x1044F}, {0x104B0, 0x104D3}, {0x104D8, 0x104FB}, {0x10C80, 0x10CB2}, {0x10CC0, 0x10CF2},
    {0x118A0, 0x118DF}, {0x1E900, 0x1E943},
};

bool is_cased_letter(char32_t c) {
  const auto after = std::upper_bound(std::begin(kCasedLetters), std::end(kCasedLetters), c,
                                      [](char32_t value, const CodeRange& range) { return value < range.first; });
  return after != std::begin(kCasedLetters) && c <= std::prev(after)->last;
}

bool is_cjk_or_other(char32_t c) {   // [一-龥ࠀ-一가-퟿]
  return (c >= 0x800 && c <= 0x9FA5) || (c >= 0xAC00 && c <= 0xD7FF);
}

bool is_listed_punctuation(char32_t c) {   // [!-/:-~！-／：-～‘-‟　-。]
  return (c >= 0x21 && c <= 0x2F) || (c >= 0x3A && c <= 0x7E) || (c >= 0xFF01 && c <= 0xFF0F) ||
         (c >= 0xFF1A && c <= 0xFF5E) || (c >= 0x2018 && c <= 0x201F) || (c >= 0x3000 && c <= 0x3002);
}

std::vector<Range> deepseek_llm(const Characters& text, std::vector<Range> pieces) {
  pieces = split(pieces, [&](size_t i, const Range&) { return is_break(text.at(i)) ? i + 1 : i; });
  pieces = split(pieces, spaced_run_of(text, [&](size_t i) { return is_cased_letter(text.at(i)); }));
  pieces = split(pieces, spaced_run_of(text, [&](size_t i) { return is_listed_punctuation(text.at(i)); }));
  // \s+$ : spaces at the end of the piece. Runs are walked once, so that many spaces stay linear.
  std::vector<Range> out;
  for (const Range& piece : pieces) {
    size_t tail = piece.end;
    while (tail > piece.begin && text.is(tail - 1, Space)) --tail;
    if (piece.begin < tail) out.push_back({piece.begin, tail});
    if (tail < piece.end) out.push_back({tail, piece.end});
  }
  pieces = split(out, run_of([&](size_t i) { return is_cjk_or_other(text.at(i)); }));
  return split(pieces, run_of([&](size_t i) { return text.is(i, N); }));
}

std::vector<Range> deepseek_coder(const Characters& text, std::vector<Range> pieces) {
  pieces = split(pieces, [&](size_t i, const Range&) { return is_break(text.at(i)) ? i + 1 : i; });
  pieces = split(pieces, spaced_run_of(text, [&](size_t i) { return text.is(i, L); }));
  pieces = split(pieces, spaced_run_of(text, [&](size_t i) { return text.is(i, P); }));
  pieces = split(pieces, run_of([&](size_t i) { return is_cjk_or_other(text.at(i)); }));
  return split(pieces, [&](size_t i, const Range&) { return text.is(i, N) ? i + 1 : i; });
}

bool is_ascii_punctuation(char32_t c) {
  return (c >= 0x21 && c <= 0x2F) || (c >= 0x3A && c <= 0x40) || (c >= 0x5B && c <= 0x60) || (c >= 0x7B && c <= 0x7E);
}

std::vector<Range> deepseek_v3(const Characters& text, std::vector<Range> pieces) {
  pieces = split(pieces, [&](size_t i, const Range& piece) {
    size_t k = i;
    while (k < piece.end && k - i < 3 && text.is(k, N)) ++k;
    return k;
  });
  pieces = split(pieces, run_of([&](size_t i) {   // [一-龥぀-ゟ゠-ヿ]
                   const char32_t c = text.at(i);
                   return (c >= 0x4E00 && c <= 0x9FA5) || (c >= 0x3040 && c <= 0x30FF);
                 }));
  return split(pieces, [&](size_t i, const Range& piece) {
    // [ascii punctuation][A-Za-z]+
    if (is_ascii_punctuation(text.at(i))) {
      size_t k = i + 1;
      while (k < piece.end && is_ascii_letter(text.at(k))) ++k;
      if (k > i + 1) return k;
    }
    // [^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+ : the optional character is tried first.
    if (!is_break(text.at(i)) && !text.is(i, L | P | S)) {
      size_t k = i + 1;
      while (k < piece.end && text.is(k, L | M)) ++k;
      if (k > i + 1) return k;
    }
    if (text.is(i, L | M)) {
      size_t k = i;
      while (k < piece.end && text.is(k, L | M)) ++k;
      return k;
    }
    //  ?[\p{P}\p{S}]+[\r\n]*
    const size_t first = text.at(i) == ' ' ? i + 1 : i;
    size_t k = first;
    while (k < piece.end && text.is(k, P | S)) ++k;
    if (k > first) {
      while (k < piece.end && is_break(text.at(k))) ++k;
      return k;
    }
    return text.is(i, Space) ? match_space(text, i, piece.end) : i;
  });
}

}  // namespace

std::optional<PreTokenizer> find_pre_tokenizer(std::string_view name) {
  struct Name {
    std::string_view name;
    PreTokenizer kind;
  };
  constexpr Name kNames[] = {
      {"deepseek-coder", PreTokenizer::deepseek_coder}, {"deepseek-llm", PreTokenizer::deepseek_llm},
      {"deepseek-v3", PreTokenizer::deepseek_v3},       {"hunyuan-dense", PreTokenizer::deepseek_v3},
      {"joyai-llm", PreTokenizer::deepseek_v3},         {"kimi-k2", PreTokenizer::kimi_k2},
      {"llama-bpe", PreTokenizer::llama_bpe},           {"llama3", PreTokenizer::llama_bpe},
      {"llama-v3", PreTokenizer::llama_bpe},            {"falcon3", PreTokenizer::llama_bpe},
      {"falcon-h1", PreTokenizer::llama_bpe},           {"lfm2", PreTokenizer::llama_bpe},
      {"midm-2.0", PreTokenizer::llama_bpe},            {"pixtral", PreTokenizer::llama_bpe},
      {"qwen2", PreTokenizer::qwen2},                   {"deepseek-r1-qwen", PreTokenizer::qwen2},
      {"f2llmv2", PreTokenizer::qwen2},                 {"grok-2", PreTokenizer::qwen2},
      {"hunyuan", PreTokenizer::qwen2},                 {"kormo", PreTokenizer::qwen2},
      {"megrez", PreTokenizer::qwen2},                  {"solar-open", PreTokenizer::qwen2},
      {"stablelm2", PreTokenizer::qwen2},               {"qwen35", PreTokenizer::qwen35},
  };
  for (const Name& known : kNames)
    if (name == known.name) return known.kind;
  return std::nullopt;
}

std::vector<std::string_view> pre_tokenize(PreTokenizer kind, std::string_view text) {
  std::vector<std::string_view> pieces;
  if (text.empty()) return pieces;
  const Characters characters(text);
  const Range all{0, characters.size()};
  std::vector<Range> ranges;
  switch (kind) {
    case PreTokenizer::deepseek_coder: ranges = deepseek_coder(characters, {all}); break;
    case PreTokenizer::kimi_k2: scan_kimi_k2(characters, all, ranges); break;
    case PreTokenizer::deepseek_llm: ranges = deepseek_llm(characters, {all}); break;
    case PreTokenizer::deepseek_v3: ranges = deepseek_v3(characters, {all}); break;
    case PreTokenizer::qwen2: scan_gpt4_like(characters, all, 1, L, ranges); break;
    case PreTokenizer::qwen35: scan_gpt4_like(characters, all, 1, L | M, ranges); break;
    case PreTokenizer::llama_bpe: scan_gpt4_like(characters, all, 3, L, ranges); break;
  }
  pieces.reserve(ranges.size());
  for (const Range& range : ranges) pieces.push_back(characters.piece(range.begin, range.end));
  return pieces;
}

}  // namespace wenqu::engine
