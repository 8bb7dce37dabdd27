// Chooses the experts of each token by the router's logits, as engine/ops/router.h does.
#pragma once

#include "engine/cuda/kernels/matvec.h"
#include "engine/cuda/kernels/rows.h"

namespace wenqu::engine::cuda {

inline constexpr int kMostExperts = 512;   // of a layer
inline constexpr int kMostUsed = 16;       // by a token

// One block a token. Each thread counts how many experts stand before its own: the count is the expert's place among
// the chosen, and no thread waits for another's choice.
struct ChooseExperts {
  struct Arguments {
    const float* logits;    // [tokens][experts]
    const float* bias;      // [experts], for the choice alone; or nullptr
    int experts, used;      // at most kMostExperts, and kMostUsed of them
    bool sigmoid;           // scores; otherwise softmax
    bool normalize;         // weights are divided by their sum
    float scale;            // and multiplied by this
    int groups, groups_used;   // only experts of the best groups may be chosen
    Choice* choices;        // [tokens][used]
  };
  static constexpr int kThreads = 256;
  static constexpr int shared_bytes() { return (kMostExperts * 5 + kMostUsed + kThreads / kWarp) * static_cast<int>(sizeof(float)); }

  // Whether number b of index j comes before a of index i: the larger, then the lower index; NaN is the smallest.
  // It is an order whatever the numbers are, so that no two experts ever have one place.
  WENQU_DEVICE static bool before(float b, int j, float a, int i) {
    const bool b_is_number = b == b, a_is_number = a == a;
    if (b_is_number != a_is_number) return b_is_number;
    return b_is_number && a != b ? b > a : j < i;
  }

  // How many of the values begin .. end - 1 come before value i.
  template <typename Values>
  WENQU_DEVICE static int place_of(const Values& values, int i, int begin, int end) {
    const float value = values.get(i);
    int place = 0;
    for (int j = begin; j < end; ++j) place += before(values.get(j), j, value, i) ? 1 : 0;
    return place;
  }

  template <typename Machine>
  WENQU_DEVICE static void run(Machine& m, const Arguments& a) { choose(m, a, m.block_x()); }

  template <typename Machine>
  WENQU_DEVICE static void choose(Machine& m, const Arguments& a, int token) {
    const auto scores = m.template shared<float>(kMostExperts), choice = m.template shared<float>(kMostExperts);
    const auto best = m.template shared<float>(2 * kMostExperts), groups = m.template shared<float>(kMostExperts);
    const auto chosen = m.template shared<int>(kMostUsed);
    const auto scratch = m.template shared<float>(kThreads / kWarp);
    const float* const logits = a.logits + static_cast<size_t>(token) * a.experts;
    const float never = m.as_float(0xFF800000);   // less than any other number

    if (a.sigmoid) {
      for (int e = m.thread(); e < a.experts; e += m.threads()) scores.set(e, 1.0f / (1.0f + m.exp(-m.load(logits + e))));
    } else {
      float largest = never;
      for (int e = m.thread(); e < a.experts; e += m.threads()) {
        const float v = m.load(logits + e);
        largest = v > largest ? v : largest;
      }
      largest = warp_max(m, largest);
      if (m.lane() == 0) scratch.set(m.warp(), largest);
      m.barrier();
      for (int i = 0; i < m.warps(); ++i) largest = scratch.get(i) > largest ? scratch.get(i) : largest;
      m.barrier();
      float sum = 0;
      for (int e = m.thread(); e < a.experts; e += m.threads()) {
        const float v = m.exp(m.load(logits + e) - largest);
        sum += v;
        scores.set(e, v);
      }
      const float inverse = 1.0f / block_sum(m, scratch, sum);
      for (int e = m.thread(); e < a.experts; e += m.threads()) scores.set(e, scores.get(e) * inverse);
    }
    for (int e = m.thread(); e < a.experts; e += m.threads()) choice.set(e, a.bias ? scores.get(e) + m.load(a.bias + e) : scores.get(e));
    m.barrier();

    if (a.groups > 1) {
      // V3 holds a group's two best against each other, V2 its best.
      const int size = a.experts / a.groups, held = a.bias && size > 1 ? 2 : 1;
      for (int e = m.thread(); e < size * a.groups; e += m.threads()) {
        const int group = e / size, place = place_of(choice, e, group * size, (group + 1) * size);
        if (place < held) best.set(2 * group + place, choice.get(e));
      }
      m.barrier();
      for (int g = m.thread(); g < a.groups; g += m.threads()) groups.set(g, held == 2 ? best.get(2 * g) + best.get(2 * g + 1) : best.get(2 * g));
      m.barrier();
      for (int e = m.thread(); e < size * a.groups; e += m.threads())
        if (place_of(groups, e / size, 0, a.groups) >= a.groups_used) choice.set(e, never);
      m.barrier();
    }

    for (int e = m.thread(); e < a.experts; e += m.threads()) {
      const int place = place_of(choice, e, 0, a.experts);
      if (place < a.used) chosen.set(place, e);
    }
    m.barrier();
    for (int k = m.thread(); k < a.used; k += m.threads()) {
      float weight = scores.get(chosen.get(k));
      if (a.normalize) {
        float sum = 0;
        for (int i = 0; i < a.used; ++i) sum += scores.get(chosen.get(i));
        weight /= sum + 1e-20f;
      }
      m.store(a.choices + static_cast<size_t>(token) * a.used + k, Choice{chosen.get(k), weight * a.scale});
    }
  }
};

// Few tokens: the logits too, which the last block of a token chooses by. A block takes an expert of a token, as the
// router has few rows. grid: x over experts, y over tokens.
struct RouteTokens {
  struct Arguments {
    Stack router;
    gguf::Type type;
    Input x;                 // [tokens]
    float* logits;           // choose.logits
    ChooseExperts::Arguments choose;
    uint32_t* arrived;       // [tokens] zeros, and zeros again afterwards
  };
  static constexpr int kThreads = ChooseExperts::kThreads;
  static constexpr int shared_bytes() { return round_up(kThreads / kWarp * 4, 16) + ChooseExperts::shared_bytes(); }

  template <typename Machine>
  WENQU_DEVICE static void run(Machine& m, const Arguments& a) {
    const auto scratch = m.template shared<float>(kThreads / kWarp);
    const int expert = m.block_x(), token = m.block_y();
    float part[1] = {};
    add_products_of<1>(m, a.type, weights_row(m, a.router, 0, expert), a.router.inputs, a.x, token, 1, 1, part, m.warp(), m.warps());
    const float logit = block_sum(m, scratch, part[0]);
    if (m.thread() == 0) m.store(a.logits + static_cast<size_t>(token) * a.choose.experts + expert, logit);
    if (m.last_block(a.arrived + token, m.blocks_x())) ChooseExperts::choose(m, a.choose, token);
  }
};

}  // namespace wenqu::engine::cuda
