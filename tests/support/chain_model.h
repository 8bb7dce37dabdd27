// A generative model that says what it is told.
#pragma once

#include <string_view>

#include "tests/support/gguf_writer.h"

namespace wenqu::test {

// Behind a line break it says `text`, and behind that it ends its turn; so again behind the next line break. It
// opens a thought, as R1 does. REQUIRES: text has no byte twice, and no line break.
GgufWriter chain_model(std::string_view text, uint32_t context = 2048);

}  // namespace wenqu::test
