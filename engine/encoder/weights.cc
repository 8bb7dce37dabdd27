#include "engine/encoder/weights.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/model/tensor_loader.h"

namespace wenqu::engine {
namespace {

Status load_affine(TensorLoader& loader, const std::string& name, uint64_t inputs, uint64_t outputs, Affine& out) {
  WENQU_RETURN_IF_ERROR(loader.matrix(name + ".weight", {inputs, outputs}, out.matrix));
  return loader.vector_if_any(name + ".bias", outputs, out.bias);
}

Status load_norm(TensorLoader& loader, const std::string& name, uint64_t size, Norm& out) {
  WENQU_RETURN_IF_ERROR(loader.vector(name + ".weight", size, out.weight));
  return loader.vector(name + ".bias", size, out.bias);
}

Status load_layer(TensorLoader& loader, uint32_t index, const EncoderConfig& config, EncoderLayer& layer) {
  const std::string block = fmt::format("blk.{}.", index);
  const uint64_t d = config.embedding, width = config.feed_forward;
  WENQU_RETURN_IF_ERROR(load_affine(loader, block + "attn_q", d, d, layer.q));
  WENQU_RETURN_IF_ERROR(load_affine(loader, block + "attn_k", d, d, layer.k));
  WENQU_RETURN_IF_ERROR(load_affine(loader, block + "attn_v", d, d, layer.v));
  WENQU_RETURN_IF_ERROR(load_affine(loader, block + "attn_output", d, d, layer.attention_output));
  WENQU_RETURN_IF_ERROR(load_norm(loader, block + "attn_output_norm", d, layer.attention_norm));
  WENQU_RETURN_IF_ERROR(load_affine(loader, block + "ffn_up", d, width, layer.up));
  WENQU_RETURN_IF_ERROR(load_affine(loader, block + "ffn_down", width, d, layer.down));
  return load_norm(loader, block + "layer_output_norm", d, layer.output_norm);
}

}  // namespace

Result<ClassificationHead> load_classification_head(const gguf::File& file, uint64_t width) {
  TensorLoader loader(file);
  ClassificationHead head;
  if (loader.has("cls.weight")) WENQU_RETURN_IF_ERROR(load_affine(loader, "cls", width, width, head.dense));
  const gguf::Tensor* output = file.tensor("cls.output.weight");
  WENQU_RETURN_IF_ERROR(load_affine(loader, "cls.output", width, output ? output->ne[1] : 1, head.output));
  return head;
}

Result<EncoderWeights> load_encoder_weights(const gguf::File& file, EncoderConfig& config) {
  TensorLoader loader(file);
  EncoderWeights weights;
  const uint64_t d = config.embedding;
  const gguf::Tensor* embedding = file.tensor("token_embd.weight");
  config.vocabulary = embedding ? embedding->ne[1] : 0;
  if (config.vocabulary > INT32_MAX)
    return Status(StatusCode::corrupt, "has more rows than there can be tokens", "tensor 'token_embd.weight'");
  WENQU_RETURN_IF_ERROR(loader.matrix("token_embd.weight", {d, config.vocabulary}, weights.token_embedding));
  WENQU_RETURN_IF_ERROR(loader.matrix("position_embd.weight", {d, config.context}, weights.position_embedding));
  if (const gguf::Tensor* types = file.tensor("token_types.weight")) {
    // Some files do not state how many kinds there are.
    if (config.token_types == 0) config.token_types = static_cast<uint32_t>(std::min<uint64_t>(types->ne[1], 1024));
    WENQU_RETURN_IF_ERROR(loader.matrix("token_types.weight", {d, config.token_types}, weights.type_embedding));
  } else {
    config.token_types = 0;
  }
  WENQU_RETURN_IF_ERROR(load_norm(loader, "token_embd_norm", d, weights.embedding_norm));
  weights.layers.resize(config.layers);
  for (uint32_t i = 0; i < config.layers; ++i) WENQU_RETURN_IF_ERROR(load_layer(loader, i, config, weights.layers[i]));
  if (config.pooling == Pooling::rank) {
    WENQU_ASSIGN_OR_RETURN(weights.head, load_classification_head(file, d));
  }
  return weights;
}

}  // namespace wenqu::engine
