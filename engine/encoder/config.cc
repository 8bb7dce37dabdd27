#include "engine/encoder/config.h"

#include <fmt/format.h>

#include "engine/gguf/file.h"
#include "engine/model/metadata_reader.h"

namespace wenqu::engine {

std::string_view pooling_name(Pooling pooling) {
  switch (pooling) {
    case Pooling::mean: return "mean";
    case Pooling::first: return "first";
    case Pooling::last: return "last";
    case Pooling::rank: return "rank";
  }
  return "";
}

Result<Pooling> read_pooling(const gguf::File& file, const std::string& architecture, Pooling otherwise) {
  constexpr uint32_t kNone = 0;
  uint32_t pooling = kNone;
  WENQU_RETURN_IF_ERROR(MetadataReader(file, architecture + ".").may("pooling_type", 0, 4, pooling));
  switch (pooling) {
    case 1: return Pooling::mean;
    case 2: return Pooling::first;
    case 3: return Pooling::last;
    case 4: return Pooling::rank;
    default: return otherwise;
  }
}

Result<EncoderConfig> read_encoder_config(const gguf::File& file) {
  constexpr uint64_t kMaxContext = 1 << 17, kMaxTokenTypes = 1024;
  const std::string name(file.get_string("general.architecture").value_or(""));
  if (name != kEncoderArchitecture)
    return Status(StatusCode::unsupported, fmt::format("the architecture '{}' is no encoder; '{}' is", name, kEncoderArchitecture),
                  "metadata key 'general.architecture'");
  EncoderConfig config;
  const MetadataReader reader(file, name + ".");
  WENQU_RETURN_IF_ERROR(reader.need("block_count", 1, kMaxLayers, config.layers));
  WENQU_RETURN_IF_ERROR(reader.need("embedding_length", 1, kMaxWidth, config.embedding));
  WENQU_RETURN_IF_ERROR(reader.need("attention.head_count", 1, kMaxHeads, config.heads));
  WENQU_RETURN_IF_ERROR(reader.need("feed_forward_length", 1, kMaxWidth, config.feed_forward));
  // Room for the two marks around a text, and for something between them.
  WENQU_RETURN_IF_ERROR(reader.need("context_length", 8, kMaxContext, config.context));
  if (config.embedding % config.heads)
    return reader.wrong("attention.head_count", fmt::format("is {}, which does not divide {} numbers", config.heads, config.embedding));
  config.head = config.embedding / config.heads;
  if (!reader.has("attention.layer_norm_epsilon")) return reader.wrong("attention.layer_norm_epsilon", "is missing");
  double epsilon = 0;
  WENQU_RETURN_IF_ERROR(reader.may_real("attention.layer_norm_epsilon", 0, 1, epsilon));
  config.epsilon = static_cast<float>(epsilon);
  bool causal = false;
  WENQU_RETURN_IF_ERROR(reader.may_flag("attention.causal", causal));
  if (causal)
    return Status(StatusCode::unsupported, "is true: an encoder whose tokens see only those before them is not supported",
                  "metadata key 'bert.attention.causal'");
  WENQU_RETURN_IF_ERROR(MetadataReader(file, "tokenizer.ggml.").may("token_type_count", 0, kMaxTokenTypes, config.token_types));
  WENQU_ASSIGN_OR_RETURN(config.pooling, read_pooling(file, name, Pooling::mean));
  return config;
}

}  // namespace wenqu::engine
