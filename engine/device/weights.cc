#include "engine/device/weights.h"

#include <algorithm>
#include <cstring>

#include "engine/cuda/layout.h"

namespace wenqu::engine::device {
namespace {

constexpr size_t kAlignment = 256;

size_t aligned(size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

size_t matrix_bytes(const Matrix& matrix) {
  return matrix.outputs * cuda::device_row_bytes(matrix.type, static_cast<int>(matrix.inputs));
}

// Takes the weights one after the other and gives each a place, in one order whether they are only counted or uploaded.
class Uploader {
 public:
  // Without memory, only counts.
  Uploader(cuda::Device* device, std::byte* memory, const CancelToken& cancel) : device_(device), memory_(memory), cancel_(cancel) {}

  size_t bytes() const { return at_; }
  const Status& status() const { return status_; }

  void matrix(const Matrix& from, size_t count, DeviceMatrix& to) {
    if (!from) return;
    const size_t one = matrix_bytes(from);
    std::byte* const place = take(count * one);
    if (!place || !status_) return;
    const size_t row_bytes = cuda::device_row_bytes(from.type, static_cast<int>(from.inputs));
    to.type = from.type;
    to.stack = {place, row_bytes, one, static_cast<int>(from.inputs), static_cast<int>(from.outputs)};
    for (size_t m = 0; m < count && status_; ++m) status_ = upload_matrix(*device_, from, m, place + m * one, piece_, cancel_);
  }

  void vector(const std::vector<float>& from, const float*& to) {
    if (from.empty()) return;
    std::byte* const place = take(from.size() * sizeof(float));
    if (!place || !status_) return;
    to = reinterpret_cast<const float*>(place);
    status_ = device_->upload(place, from.data(), from.size() * sizeof(float));
  }

 private:
  std::byte* take(size_t bytes) {
    std::byte* const place = memory_ ? memory_ + at_ : nullptr;
    at_ += aligned(bytes);
    return place;
  }

  cuda::Device* const device_;
  std::byte* const memory_;
  const CancelToken& cancel_;
  size_t at_ = 0;
  std::vector<std::byte> piece_;
  Status status_;
};

void each_of_layer(Uploader& to, const Layer& layer, const Config& config, size_t on_cpu, DeviceLayer& own) {
  const size_t experts = config.moe.router.experts;
  own.is_moe = layer.is_moe;
  to.vector(layer.attention_norm, own.attention_norm);
  to.vector(layer.ffn_norm, own.ffn_norm);
  to.matrix(layer.q, 1, own.q);
  to.matrix(layer.k, 1, own.k);
  to.matrix(layer.v, 1, own.v);
  to.vector(layer.q_bias, own.q_bias);
  to.vector(layer.k_bias, own.k_bias);
  to.vector(layer.v_bias, own.v_bias);
  to.vector(layer.q_norm, own.q_norm);
  to.vector(layer.k_norm, own.k_norm);
  to.matrix(layer.q_a, 1, own.q_a);
  to.matrix(layer.q_b, 1, own.q_b);
  to.vector(layer.q_a_norm, own.q_a_norm);
  to.vector(layer.kv_a_norm, own.kv_a_norm);
  to.matrix(layer.kv_a, 1, own.kv_a);
  to.matrix(layer.k_b, config.heads, own.k_b);
  to.matrix(layer.v_b, config.heads, own.v_b);
  to.matrix(layer.attention_output, 1, own.attention_output);
  to.matrix(layer.gate, 1, own.gate);
  to.matrix(layer.up, 1, own.up);
  to.matrix(layer.down, 1, own.down);
  to.matrix(layer.router, 1, own.router);
  to.vector(layer.router_bias, own.router_bias);
  if (layer.is_moe && layer.mixture < on_cpu) return;
  to.matrix(layer.expert_gate, experts, own.expert_gate);
  to.matrix(layer.expert_up, experts, own.expert_up);
  to.matrix(layer.expert_down, experts, own.expert_down);
}

void each(Uploader& to, const Weights& weights, const Config& config, const WeightChoice& choice, DeviceWeights& out) {
  if (choice.first_layer == 0) to.matrix(weights.embedding, 1, out.embedding);
  if (choice.end_layer == weights.layers.size()) {
    if (weights.output.data == weights.embedding.data && choice.first_layer == 0) out.output = out.embedding;
    else to.matrix(weights.output, 1, out.output);
    to.vector(weights.output_norm, out.output_norm);
  }
  out.layers.resize(weights.layers.size());
  for (size_t l = choice.first_layer; l < choice.end_layer; ++l) each_of_layer(to, weights.layers[l], config, choice.on_cpu, out.layers[l]);
}

}  // namespace

Status upload_matrix(cuda::Device& device, const Matrix& from, size_t index, std::byte* place, std::vector<std::byte>& piece, const CancelToken& cancel) {
  constexpr size_t kPiece = size_t{4} << 20;
  const size_t row_bytes = cuda::device_row_bytes(from.type, static_cast<int>(from.inputs)), together = std::max<size_t>(1, kPiece / std::max<size_t>(1, row_bytes));
  for (size_t row = 0; row < from.outputs; row += together) {
    WENQU_RETURN_IF_ERROR(cancel.status());
    const size_t rows = std::min(together, from.outputs - row);
    piece.resize(rows * row_bytes);
    for (size_t r = 0; r < rows; ++r)
      cuda::lay_out_row(from.type, from.row(index, row + r), static_cast<int>(from.inputs), piece.data() + r * row_bytes);
    WENQU_RETURN_IF_ERROR(device.upload(place + row * row_bytes, piece.data(), piece.size()));
  }
  return {};
}

size_t device_weight_bytes(const Weights& weights, const Config& config, const WeightChoice& choice) {
  DeviceWeights unused;
  Uploader count(nullptr, nullptr, {});
  each(count, weights, config, choice, unused);
  return count.bytes();
}

size_t device_layer_bytes(const Weights& weights, const Config& config, size_t layer, size_t on_cpu) {
  DeviceLayer unused;
  Uploader count(nullptr, nullptr, {});
  each_of_layer(count, weights.layers[layer], config, on_cpu, unused);
  return count.bytes();
}

Result<DeviceWeights> upload(const std::shared_ptr<cuda::Device>& device, const Weights& weights, const Config& config, const WeightChoice& choice,
                             const CancelToken& cancel) {
  DeviceWeights out;
  WENQU_ASSIGN_OR_RETURN(out.memory, Memory::allocate(device, device_weight_bytes(weights, config, choice)));
  Uploader uploader(device.get(), out.memory.data(), cancel);
  each(uploader, weights, config, choice, out);
  WENQU_RETURN_IF_ERROR(uploader.status());
  WENQU_RETURN_IF_ERROR(device->synchronize());
  return out;
}

}  // namespace wenqu::engine::device
