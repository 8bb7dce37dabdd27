// A model's tensors under the names the papers use, checked against its hyper-parameters: after
// load_weights every matrix has the shape and a type that the forward pass needs.
//
// Lifetime: views into the file, which must outlive them; what the file does not have in the form that
// is needed, and had to be derived, the weights own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/large_pages.h"
#include "base/status.h"
#include "engine/gguf/file.h"
#include "engine/model/config.h"
#include "engine/ops/matmul.h"

namespace wenqu::engine {

using ops::Matrix;

class ExpertResidency;

struct Layer {
  std::vector<float> attention_norm, ffn_norm;

  // GQA
  Matrix q, k, v;
  std::vector<float> q_bias, k_bias, v_bias;   // empty: none
  std::vector<float> q_norm, k_norm;           // of a head; empty: none

  // MLA
  Matrix q_a, q_b;                 // q_a only with a query latent; without, q is used
  std::vector<float> q_a_norm, kv_a_norm;
  Matrix kv_a;                     // hidden -> latent and rotated key
  Matrix k_b;                      // [head]: unrotated query -> latent
  Matrix v_b;                      // [head]: latent -> value

  Matrix attention_output;

  // Dense feed-forward, or the shared experts of a mixture.
  Matrix gate, up, down;

  // Mixture of experts
  bool is_moe = false;
  Matrix router;
  std::vector<float> router_bias;  // for the choice only; empty: none
  Matrix expert_gate, expert_up, expert_down;   // [expert]
  size_t mixture = 0;              // number of this layer among those with experts
};

// Multi-token prediction: from a token's hidden state behind the trunk and the next token's embedding to
// the token after that.
struct NextTokenLayer {
  std::vector<float> embedding_norm, hidden_norm;
  Matrix projection;               // [embedding | hidden] -> hidden
  Layer layer;
  Matrix embedding, output;        // the model's, where the layer has none of its own
  std::vector<float> output_norm;
};

struct Weights {
  Matrix embedding;
  std::vector<float> output_norm;
  Matrix output;                   // the embedding where the file has none
  std::vector<Layer> layers;
  std::vector<NextTokenLayer> next_token_layers;   // not used yet

  std::vector<std::vector<std::byte>> derived;   // matrices that are not in the file
  uint64_t derived_bytes() const;
  LargePages repacked;                           // matrices that were copied from the file (repack.h)

  // The layers with experts, by Layer::mixture.
  std::vector<const Layer*> mixtures() const;

  // Who brings chosen experts into memory; nullptr: nobody needs to.
  ExpertResidency* residency = nullptr;
};

// Sets config.vocabulary, and divides the rotary frequencies by the file's factors. Errors, each with the tensor: corrupt (missing or misshapen),
// unsupported (its type, with those that are supported; or that it has no part in what is computed).
Result<Weights> load_weights(const gguf::File& file, Config& config);

}  // namespace wenqu::engine
