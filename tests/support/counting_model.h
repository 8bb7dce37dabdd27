// A generative model whose answers are known without running it.
#pragma once

#include <cstddef>

#include "tests/support/gguf_writer.h"
#include "tests/support/mini_vocabulary.h"

namespace wenqu::test {

// One layer that attends to all tokens alike: the more of a text's tokens are exclamation marks, the rather goes it on with
// the letter y, and the less with n. Of architecture llama, with the small byte-level vocabulary and what a test adds to it.
GgufWriter counting_model(const MiniVocabulary& vocabulary = {});

// The difference of the logits of y and n behind so many tokens, the last of which is none of the marks.
double counting_model_difference(size_t tokens, size_t marks);

}  // namespace wenqu::test
