// Places sorted by the expert they chose, so that an expert's weights are read once for many of them. Place p stands
// for choice p % used of token p / used. The host never learns how many chose whom: grids are sized by what is the
// most there can be, and blocks that have nothing to do end at once.
#pragma once

#include "engine/cuda/kernels/matvec.h"

namespace wenqu::engine::cuda {

inline constexpr int kTileRows = 64;   // of the input, that a block of a product of many rows takes

// Neighbours of the sorted places, all of one expert: as many as a block takes, or fewer.
struct alignas(16) Tile {
  int32_t expert = 0;
  int32_t first = 0, count = 0;   // none: an unused tile
  int32_t unused = 0;
};

// The most tiles of so many rows there can be, and how many SortByExpert writes: expert e's begin at (the places of lower
// experts) / rows + e, which no earlier expert's tiles reach, so that none needs to know how many another has.
WENQU_BOTH constexpr int most_tiles(int places, int experts, int rows = kTileRows) { return places / rows + experts; }

// One block an expert: it counts the places of lower experts and its own, and writes its own in order of place.
struct SortByExpert {
  struct Arguments {
    const Choice* choices;   // [places]
    int places, experts;
    int32_t* order;          // [places], by expert and then by place
    Tile* tiles;             // [most_tiles()]
    int rows = kTileRows;    // of a tile
  };
  static constexpr int kThreads = 256;
  static constexpr int kWarps = kThreads / kWarp;
  static constexpr int shared_bytes() { return 2 * kWarps * static_cast<int>(sizeof(int)); }

  template <typename Machine>
  WENQU_DEVICE static void run(Machine& m, const Arguments& a) {
    const auto lower_of = m.template shared<int>(kWarps), own_of = m.template shared<int>(kWarps);
    const int expert = m.block_x();
    // A thread counts neighbours, so that threads in order are places in order.
    const int each = divide_up(a.places, kThreads), begin = m.thread() * each, end = begin + each < a.places ? begin + each : a.places;
    int lower = 0, own = 0;
    for (int p = begin; p < end; ++p) {
      const int other = m.load(a.choices + p).expert;
      lower += other < expert ? 1 : 0;
      own += other == expert ? 1 : 0;
    }
    const int lower_of_warp = warp_sum(m, lower);
    int before = own;   // own places of the warp's lower lanes and this
    for (int step = 1; step < kWarp; step *= 2) {
      const int other = m.shuffle(before, (m.lane() + kWarp - step) % kWarp);
      if (m.lane() >= step) before += other;
    }
    if (m.lane() == kWarp - 1) lower_of.set(m.warp(), lower_of_warp), own_of.set(m.warp(), before);
    m.barrier();
    int first = 0, count = 0;
    before -= own;
    for (int i = 0; i < kWarps; ++i) {
      first += lower_of.get(i);
      if (i < m.warp()) before += own_of.get(i);
      count += own_of.get(i);
    }
    if (own > 0)
      for (int p = begin, at = first + before; p < end; ++p)
        if (m.load(a.choices + p).expert == expert) m.store(a.order + at++, static_cast<int32_t>(p));
    const int tile = first / a.rows + expert, next = (first + count) / a.rows + expert + 1;
    for (int i = m.thread(); tile + i < next; i += m.threads()) {
      const int left = count - i * a.rows;
      m.store(a.tiles + tile + i, Tile{expert, first + i * a.rows, left < 0 ? 0 : left < a.rows ? left : a.rows, 0});
    }
  }
};

// out[t] = the sum over the token's choices of weight * the choice's product, in order of choice, so that a token's
// sum is the same in any batch. grid: x over outputs in kThreads, y over tokens.
struct SumExperts {
  struct Arguments {
    const float* parts;      // [tokens][used][outputs]
    const Choice* choices;   // [tokens][used]
    int used, outputs;
    float* out;              // [tokens][outputs]
    bool add;                // to what is there
  };
  static constexpr int kThreads = 256;
  static constexpr int shared_bytes() { return 0; }

  template <typename Machine>
  WENQU_DEVICE static void run(Machine& m, const Arguments& a) {
    const int o = m.block_x() * m.threads() + m.thread(), t = m.block_y();
    if (o >= a.outputs) return;
    float sum = 0;
    for (int k = 0; k < a.used; ++k) {
      const size_t place = static_cast<size_t>(t) * a.used + k;
      sum += m.load(a.choices + place).weight * m.load(a.parts + place * a.outputs + o);
    }
    float* const out = a.out + static_cast<size_t>(t) * a.outputs + o;
    m.store(out, a.add ? m.load(out) + sum : sum);
  }
};

}  // namespace wenqu::engine::cuda
