// What a folded character is to the analysis. Thread safety: pure.
#pragma once

namespace wenqu::retrieval {

enum class CharClass {
  syllable,   // of a script written without spaces, or best found by pairs: Han, kana, Hangul, Thai ...
  letter,     // of any other script, or a mark on one
  digit,
  pictograph, // emoji
  other,      // space, punctuation, symbols
};

CharClass classify(char32_t code_point);

}  // namespace wenqu::retrieval
