// Products of weights with activations, by the type of the weights and the number of rows: which kernel is launched
// is known here and nowhere else. All is asked of the device in order; nothing waits for it.
//
// Thread safety: that of the device. Pointers are of the device's memory, the caller's.
// Errors: what Device::launch() gives.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/status.h"
#include "engine/cuda/device.h"
#include "engine/cuda/kernels/router.h"
#include "engine/gguf/type.h"

namespace wenqu::engine::cuda {

// hidden[t] = the row of `tokens[t]`. hidden: [count][embedding.inputs].
Status embed(Device& device, const Stack& embedding, gguf::Type type, const int32_t* tokens, int count, float* hidden);

// Which kernels take rows: the fastest for as many as there are, each of which rounds its sums as it goes; or those that give
// a row the same result whatever rows are beside it.
enum class Rows { fastest, alike };

// out[t][z] = matrix z of the stack times row t * matrices + z of x, plus bias. out: [tokens][matrices][out_stride];
// bias: [outputs], or nullptr. x holds what the type is multiplied with (input.h).
Status multiply(Device& device, const Stack& stack, gguf::Type type, const Input& x, int tokens, int matrices, float* out, int out_stride,
                const float* bias, Rows rows = Rows::fastest);

// Up to MatVecs::kMost products of one matrix each with the same rows. `after`: of all that is given, when it is.
Status multiply(Device& device, std::span<const Product> products, const Input& x, int tokens, const NormAfter& after = {},
                Rows rows = Rows::fastest);

// As the first, without bias; and rounds what comes of it, rows of [matrices][outputs]. REQUIRES: outputs a multiple of 32.
Status multiply_and_round(Device& device, const Stack& stack, gguf::Type type, const Input& x, int tokens, int matrices, float* out,
                          const Rounded& rounded, Rows rows = Rows::fastest);

// The experts that the tokens choose. `how`: but for its logits, which lie in `logits`: [tokens][experts]. arrived: a zero
// for each token, and zeros again afterwards.
Status route(Device& device, const Stack& router, gguf::Type type, const Input& x, int tokens, float* logits, ChooseExperts::Arguments how,
             uint32_t* arrived, Rows rows = Rows::fastest);

// SwiGLU: down(silu(gate x) * up x); of one, or of each of a mixture's experts.
struct FeedForward {
  Stack gate, up, down;
  gguf::Type gate_type = gguf::Type::f32, up_type = gguf::Type::f32;
  gguf::Type down_type = gguf::Type::f32;
  int experts = 0;                          // in each stack; 0: no mixture, one of each
};

// Bytes that feed_forward() needs for itself; no fewer for more tokens.
size_t feed_forward_scratch(const FeedForward& weights, int tokens, int used);

// out[t] = the sum over the token's choices of weight * feed-forward of its expert, in order of choice. x: [tokens].
// choices: [tokens][used], or nullptr without a mixture: used is 1. out: [tokens][down.outputs], set or,
// with `add`, added to. scratch: feed_forward_scratch() bytes, aligned to 256.
// `after`: of `out`, when it is there.
Status feed_forward(Device& device, const FeedForward& weights, const Input& x, int tokens, const Choice* choices, int used, float* out, bool add,
                    void* scratch, const NormAfter& after = {}, Rows rows = Rows::fastest);

// A layer's experts: those that tokens have chosen and one that all use. As feed_forward() of both, added up, in fewer
// launches where tokens are few. scratch: experts_scratch() bytes.
size_t experts_scratch(const FeedForward& routed, const FeedForward& shared, int tokens, int used);
Status experts(Device& device, const FeedForward& routed, const FeedForward& shared, const Input& x, int tokens, const Choice* choices, int used,
               float* out, void* scratch, const NormAfter& after = {}, Rows rows = Rows::fastest);

}  // namespace wenqu::engine::cuda
