// The hyper-parameters of a bidirectional encoder (architecture `bert`: BERT, arXiv 1810.04805, and XLM-RoBERTa, arXiv
// 1911.02116, whose files have their first positions cut off, so that both count from 0), read from its file and checked:
// every number that a shape, a loop or a division will use is known to be sound afterwards.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"

namespace wenqu::engine {

namespace gguf {
class File;
}

// How the states of a text's tokens become one vector: their mean, the first one's, the last one's, or a score by the
// file's classification head.
enum class Pooling { mean, first, last, rank };
std::string_view pooling_name(Pooling pooling);

// As the file says; `otherwise` where it is silent. Errors: corrupt, unsupported.
Result<Pooling> read_pooling(const gguf::File& file, const std::string& architecture, Pooling otherwise);

struct EncoderConfig {
  uint32_t layers = 0;
  uint32_t embedding = 0;
  uint32_t heads = 0;
  uint32_t head = 0;           // numbers of a head's query, key and value
  uint32_t feed_forward = 0;
  uint32_t context = 0;        // positions there are
  uint32_t token_types = 0;    // kinds of segments; 0: none
  uint64_t vocabulary = 0;     // rows of the embedding; set by load_encoder_weights()
  float epsilon = 0;
  Pooling pooling = Pooling::mean;
};

inline constexpr std::string_view kEncoderArchitecture = "bert";

// Errors: unsupported (another architecture), corrupt (the key).
Result<EncoderConfig> read_encoder_config(const gguf::File& file);

}  // namespace wenqu::engine
