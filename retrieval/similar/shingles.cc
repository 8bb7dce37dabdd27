#include "retrieval/similar/shingles.h"

#include <algorithm>
#include <string>

#include <unicode/uchar.h>

#include "base/utf8.h"

namespace wenqu::retrieval {
namespace {

uint64_t mixed(uint64_t value) {   // the finaliser of splitmix64
  value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9u;
  value = (value ^ (value >> 27)) * 0x94D049BB133111EBu;
  return value ^ (value >> 31);
}

void sort_once(std::vector<uint64_t>& values) {
  std::sort(values.begin(), values.end());
  values.erase(std::unique(values.begin(), values.end()), values.end());
}

// Whether a word goes on: Chinese characters stand for words of their own.
bool is_of_word(UChar32 c) { return u_isalnum(c) && !u_hasBinaryProperty(c, UCHAR_IDEOGRAPHIC); }

}  // namespace

std::vector<uint64_t> shingles_of(std::string_view text) {
  std::u32string letters;
  for (size_t at = 0; at < text.size();) {
    const auto c = static_cast<UChar32>(utf8_next(text, at));
    if (u_isalnum(c)) letters += static_cast<char32_t>(u_foldCase(c, U_FOLD_CASE_DEFAULT));
  }
  std::vector<uint64_t> shingles;
  if (letters.empty()) return shingles;
  const size_t count = letters.size() < kShingleChars ? 1 : letters.size() - kShingleChars + 1;
  shingles.reserve(count);
  for (size_t begin = 0; begin < count; ++begin) {
    uint64_t hash = 0x9E3779B97F4A7C15u;
    for (size_t i = begin; i < std::min(begin + kShingleChars, letters.size()); ++i) hash = mixed(hash ^ letters[i]) + i - begin;
    shingles.push_back(hash);
  }
  sort_once(shingles);
  return shingles;
}

std::vector<uint64_t> numbers_of(std::string_view text) {
  std::vector<uint64_t> numbers;
  uint64_t hash = 0;
  bool has_digit = false;
  for (size_t at = 0; at <= text.size();) {
    const auto c = at < text.size() ? static_cast<UChar32>(utf8_next(text, at)) : UChar32{' '};
    if (is_of_word(c)) {
      const int32_t digit = u_charDigitValue(c);   // of full width too
      has_digit = has_digit || digit >= 0;
      hash = mixed(hash ^ static_cast<uint64_t>(digit >= 0 ? '0' + digit : u_foldCase(c, U_FOLD_CASE_DEFAULT))) + 1;
      continue;
    }
    if (has_digit) numbers.push_back(hash);
    hash = 0, has_digit = false;
    if (at == text.size()) break;
  }
  sort_once(numbers);
  return numbers;
}

double containment(const std::vector<uint64_t>& a, const std::vector<uint64_t>& b) {
  if (a.empty() || b.empty()) return 0;
  size_t shared = 0;
  for (size_t i = 0, j = 0; i < a.size() && j < b.size();) {
    if (a[i] == b[j]) {
      ++shared;
      ++i;
      ++j;
    } else {
      a[i] < b[j] ? ++i : ++j;
    }
  }
  return static_cast<double>(shared) / static_cast<double>(std::min(a.size(), b.size()));
}

}  // namespace wenqu::retrieval
