// A small byte-level vocabulary for test models: the 256 bytes, a few merges, control tokens.
#pragma once

#include <string>
#include <vector>

#include "tests/support/gguf_writer.h"

namespace wenqu::test {

// 256 bytes, 4 merges, then: bos, eos, <｜User｜>, <｜Assistant｜>, <|im_start|>, <|im_end|> (control),
// <think>, </think> (user-defined), "naïve" (user-defined, a word).
struct MiniVocabulary {
  std::vector<std::string> tokens, merges;
  std::vector<int32_t> kinds;
  int32_t bos = 0, eos = 0;

  MiniVocabulary();
  void write(GgufWriter& writer, std::string_view pre_tokenizer, bool add_bos) const;
};

}  // namespace wenqu::test
