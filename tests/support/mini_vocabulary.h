// Small vocabularies for test models.
#pragma once

#include <string>
#include <vector>

#include "tests/support/gguf_writer.h"

namespace wenqu::test {

// Byte-level: 256 bytes, 4 merges, then: bos, eos, <｜User｜>, <｜Assistant｜>, <|im_start|>, <|im_end|> (control),
// <think>, </think> (user-defined), "naïve" (user-defined, a word).
struct MiniVocabulary {
  std::vector<std::string> tokens, merges;
  std::vector<int32_t> kinds;
  int32_t bos = 0, eos = 0;

  MiniVocabulary();
  void write(GgufWriter& writer, std::string_view pre_tokenizer, bool add_bos) const;
};

// A small SentencePiece vocabulary: <unk>, <s>, </s>, the 256 bytes, then some pieces, of which "bc" has the
// highest score and the others fall with their ids.
struct MiniSpmVocabulary {
  std::vector<std::string> tokens;
  std::vector<int32_t> kinds;
  std::vector<float> scores;

  MiniSpmVocabulary();
  void write(GgufWriter& writer) const;
};

}  // namespace wenqu::test
