// What becomes of the last layer's rows: those whose logits are wanted are taken together, and of a row of logits only the
// best and the weight of all leave the device.
//
// The best are found without sorting the row: it is cut into groups, and what is among the best K numbers lies in one of
// the K groups whose own best are the largest, and is no smaller than the last of these. Numbers are compared as keys that
// no two of a row share (larger numbers first, lower indices first among equals), so there is one answer.
#pragma once

#include "engine/cuda/kernels/rows.h"

namespace wenqu::engine::cuda {

// to[i] = from[rows[i]]. grid: x over the rows, y over a row's numbers in kNumbers.
struct TakeRows {
  struct Arguments {
    const float* from;      // [..][n]
    const int32_t* rows;
    float* to;              // [rows][n]
    int n;
  };
  static constexpr int kThreads = 256, kNumbers = kThreads * 4;
  static constexpr int shared_bytes() { return 0; }

  template <typename Machine>
  WENQU_DEVICE static void run(Machine& m, const Arguments& a) {
    const size_t row = static_cast<size_t>(m.load(a.rows + m.block_x())) * a.n;
    float* const to = a.to + static_cast<size_t>(m.block_x()) * a.n;
    const int first = m.block_y() * kNumbers;
    for (int i = first + m.thread(); i < first + kNumbers && i < a.n; i += kThreads)
      m.store(to + i, m.load(a.from + row + i));
  }
};

inline constexpr int kMostGroups = 4096;   // of a row
inline constexpr int kMostBest = 256;      // that can be asked for

// What is wanted of a row of logits.
struct BestWanted {
  int32_t count;               // of the best, 1 to kMostBest
  int32_t numbers;             // the row's first ones, which alone count
  float inverse_temperature;   // of the total; 0: no total
};

WENQU_BOTH constexpr int group_size(int vocabulary) { return divide_up(vocabulary, kMostGroups); }
WENQU_BOTH constexpr int group_count(int vocabulary) { return divide_up(vocabulary, group_size(vocabulary)); }

// A number's bits, so that larger numbers have larger keys; 0: NaN or minus infinity.
WENQU_BOTH constexpr uint32_t ordered(uint32_t bits) {
  if ((bits & 0x7FFFFFFF) > 0x7F800000 || bits == 0xFF800000) return 0;
  if (bits == 0x80000000) return 0x80000000;   // minus zero equals zero
  return bits & 0x80000000 ? ~bits : bits | 0x80000000;
}
WENQU_BOTH constexpr uint32_t number_bits(uint32_t ordered) { return ordered & 0x80000000 ? ordered & 0x7FFFFFFF : ~ordered; }
WENQU_BOTH constexpr uint64_t best_key(uint32_t bits, int index) {
  const uint32_t order = ordered(bits);
  return order == 0 ? 0 : static_cast<uint64_t>(order) << 32 | ~static_cast<uint32_t>(index);
}
WENQU_BOTH constexpr uint32_t key_bits(uint64_t key) { return number_bits(static_cast<uint32_t>(key >> 32)); }
WENQU_BOTH constexpr int key_index(uint64_t key) { return static_cast<int>(~static_cast<uint32_t>(key)); }

// Each group's largest key, and its numbers' weights beside it. Group g has the numbers g, g + groups, g + 2 groups ...; a
// thread takes one. grid: x over groups in kThreads, y over rows.
struct BestOfGroups {
  struct Arguments {
    const float* logits;        // [rows][vocabulary]
    int vocabulary;
    const BestWanted* wanted;   // [rows]
    uint64_t* keys;             // [rows][group_count(vocabulary)]
    float* weights;             // [rows][group_count(vocabulary)]: the sum of exp((number - largest) / temperature)
  };
  static constexpr int kThreads = 128;
  static constexpr int shared_bytes() { return 0; }

  template <typename Machine>
  WENQU_DEVICE static void run(Machine& m, const Arguments& a) {
    const int groups = group_count(a.vocabulary), g = m.block_x() * kThreads + m.thread(), row = m.block_y();
    if (g >= groups) return;
    const BestWanted wanted{m.load(&a.wanted[row].count), m.load(&a.wanted[row].numbers), m.load(&a.wanted[row].inverse_temperature)};
    const float* const logits = a.logits + static_cast<size_t>(row) * a.vocabulary;
    uint64_t best = 0;
    for (int i = g; i < wanted.numbers; i += groups) {
      const uint64_t key = best_key(m.load(reinterpret_cast<const uint32_t*>(logits) + i), i);
      best = key > best ? key : best;
    }
    float weight = 0;
    if (wanted.inverse_temperature > 0 && best > 0) {
      const float largest = m.as_float(key_bits(best));
      for (int i = g; i < wanted.numbers; i += groups) {
        const float v = m.load(logits + i);
        if (v == v) weight += m.exp((v - largest) * wanted.inverse_temperature);
      }
    }
    m.store(a.keys + static_cast<size_t>(row) * groups + g, best);
    m.store(a.weights + static_cast<size_t>(row) * groups + g, weight);
  }
};

// A row's best in order, of its groups' best. One block a row. What is told of a row: how many there are (or -1: more numbers
// than there is room for are larger than the last group's, so that the row itself is wanted) and the total, and then the
// bits and index of each.
struct BestOfRow {
  struct Arguments {
    const float* logits;        // as BestOfGroups has them
    int vocabulary;
    const BestWanted* wanted;
    const uint64_t* keys;
    const float* weights;
    int sorted;                 // group_count(vocabulary) rounded up to a power of two
    Word2* out;                 // [rows][1 + most]
    int most;                   // no row's count is larger
  };
  static constexpr int kThreads = 512;
  static constexpr int kWarps = kThreads / kWarp;
  static constexpr int shared_bytes(int sorted) {
    return round_up(sorted * static_cast<int>(sizeof(uint64_t)), 16) + (kMostBest + kWarps) * static_cast<int>(sizeof(int)) + kWarps * static_cast<int>(sizeof(uint64_t));
  }

  // Bitonic (Batcher 1968): the largest first. n: a power of two.
  template <typename Machine>
  WENQU_DEVICE static void sort(Machine& m, typename Machine::template Shared<uint64_t> keys, int n) {
    for (int run = 2; run <= n; run *= 2)
      for (int apart = run / 2; apart > 0; apart /= 2) {
        for (int i = m.thread(); i < n / 2; i += kThreads) {
          const int low = i / apart * 2 * apart + i % apart, high = low + apart;
          const uint64_t a = keys.get(low), b = keys.get(high);
          if ((a < b) == ((low & run) == 0)) keys.set(low, b), keys.set(high, a);
        }
        m.barrier();
      }
  }

  // The sum of the counts of the threads before this one, and of all. Two barriers.
  template <typename Machine>
  WENQU_DEVICE static int count_before(Machine& m, typename Machine::template Shared<int> scratch, int count, int& all) {
    int up_to = count;
    for (int d = 1; d < kWarp; d *= 2) {
      const int other = m.shuffle(up_to, m.lane() >= d ? m.lane() - d : m.lane());
      if (m.lane() >= d) up_to += other;
    }
    if (m.lane() == kWarp - 1) scratch.set(m.warp(), up_to);
    m.barrier();
    int before = up_to - count;
    all = 0;
    for (int w = 0; w < kWarps; ++w) {
      const int warp = scratch.get(w);
      if (w < m.warp()) before += warp;
      all += warp;
    }
    m.barrier();
    return before;
  }

  template <typename Machine>
  WENQU_DEVICE static void run(Machine& m, const Arguments& a) {
    const auto keys = m.template shared<uint64_t>(a.sorted);
    const auto groups_taken = m.template shared<int>(kMostBest);
    const auto scratch = m.template shared<int>(kWarps);
    const auto largest = m.template shared<uint64_t>(kWarps);
    const int row = m.block_x(), groups = group_count(a.vocabulary), size = group_size(a.vocabulary);
    const BestWanted wanted{m.load(&a.wanted[row].count), m.load(&a.wanted[row].numbers), m.load(&a.wanted[row].inverse_temperature)};
    const uint32_t* const logits = reinterpret_cast<const uint32_t*>(a.logits) + static_cast<size_t>(row) * a.vocabulary;
    Word2* const out = a.out + static_cast<size_t>(row) * (1 + a.most);

    uint64_t best = 0;
    for (int g = m.thread(); g < a.sorted; g += kThreads) {
      const uint64_t key = g < groups ? m.load(a.keys + static_cast<size_t>(row) * groups + g) : 0;
      keys.set(g, key);
      best = key > best ? key : best;
    }
    for (int mask = kWarp / 2; mask > 0; mask /= 2) {
      const uint64_t other = m.shuffle_xor(best, mask);
      best = other > best ? other : best;
    }
    if (m.lane() == 0) largest.set(m.warp(), best);
    m.barrier();
    for (int w = 0; w < kWarps; ++w) best = largest.get(w) > best ? largest.get(w) : best;

    float total = 0;
    if (wanted.inverse_temperature > 0 && best > 0) {
      const float top = m.as_float(key_bits(best));
      for (int g = m.thread(); g < groups; g += kThreads)
        if (const uint64_t key = keys.get(g); key > 0)
          total += m.load(a.weights + static_cast<size_t>(row) * groups + g) * m.exp((m.as_float(key_bits(key)) - top) * wanted.inverse_temperature);
    }
    const auto tell = [&](int count, float sum) {
      m.store(&out->x, static_cast<uint32_t>(count));
      m.store(reinterpret_cast<float*>(&out->y), sum);
    };
    const auto tell_one = [&](int i, uint64_t key) { m.store(out + 1 + i, Word2{key_bits(key), static_cast<uint32_t>(key_index(key))}); };
    if (wanted.count == 1) {
      if (m.thread() == 0) {
        tell(best > 0 ? 1 : 0, 0);
        if (best > 0) tell_one(0, best);
      }
      return;
    }
    total = block_sum(m, scratch.template as<float>(), total);

    sort(m, keys, a.sorted);
    const int taken = wanted.count < groups ? wanted.count : groups;
    const uint64_t last = keys.get(taken - 1);   // nothing smaller is among the best
    for (int i = m.thread(); i < taken; i += kThreads) groups_taken.set(i, keys.get(i) > 0 ? key_index(keys.get(i)) % groups : -1);
    m.barrier();

    // Their numbers that are no smaller than the last group's best.
    const auto key_of = [&](int i) -> uint64_t {
      const int group = groups_taken.get(i / size), at = group + i % size * groups;
      if (group < 0 || at >= wanted.numbers) return 0;
      const uint64_t key = best_key(m.load(logits + at), at);
      return key >= last ? key : 0;
    };
    int mine = 0, all = 0;
    for (int i = m.thread(); i < taken * size; i += kThreads) mine += key_of(i) > 0 ? 1 : 0;
    int place = count_before(m, scratch, mine, all);
    if (all > a.sorted) {
      if (m.thread() == 0) tell(-1, total);
      return;
    }
    for (int i = m.thread(); i < taken * size; i += kThreads)
      if (const uint64_t key = key_of(i); key > 0) keys.set(place++, key);
    int n = 2;
    while (n < all) n *= 2;
    for (int i = all + m.thread(); i < n && i < a.sorted; i += kThreads) keys.set(i, 0);
    m.barrier();
    sort(m, keys, n < a.sorted ? n : a.sorted);
    const int found = all < wanted.count ? all : wanted.count;
    for (int i = m.thread(); i < found; i += kThreads) tell_one(i, keys.get(i));
    if (m.thread() == 0) tell(found, total);
  }
};

}  // namespace wenqu::engine::cuda
