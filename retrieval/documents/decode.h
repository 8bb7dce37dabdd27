// Bytes of a text file to UTF-8. Thread safety: pure.
#pragma once

#include <string>
#include <string_view>

namespace wenqu::retrieval {

struct DecodedText {
  std::string text;      // valid UTF-8 without a byte order mark
  std::string problem;   // what had to be repaired, for a person; empty: nothing
};

// UTF-8, or what a byte order mark says (UTF-8, UTF-16), or, when the bytes are not valid UTF-8, the
// encoding that the file itself declares, or else the one that is likely (guess_encoding.h). What fits none of
// them has its ill-formed bytes replaced by U+FFFD and says so.
DecodedText decode_text(std::string_view bytes, const std::string& declared_charset = {});

}  // namespace wenqu::retrieval
