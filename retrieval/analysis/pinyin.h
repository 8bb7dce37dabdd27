// How Chinese characters are read, in pinyin without tones and spaces, as people type it: 北京 is beijing, and bj.
//
// Readings are ICU's, taken in when wenqu is built, with further ones of common characters that are read in several ways;
// ü is u. Thread safety: pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace wenqu::retrieval {

// A way to read a word: its syllables together, and their first letters.
struct Reading {
  std::string full;
  std::string initials;
};

// All ways to read a word of folded characters, four at most; none when one of them has no reading.
std::vector<Reading> readings_of(std::u32string_view word);

// What somebody typed as pinyin, lower-case ASCII letters: v, which stands for ü on keyboards, becomes u.
std::string typed_pinyin(std::string_view letters);

// Where syllables may end in `letters`, whichever way they are cut into whole ones: ascending, the last being
// letters.size(); empty when they cannot be cut.
std::vector<size_t> syllable_ends(std::string_view letters);

}  // namespace wenqu::retrieval
