#include "tests/engine/cuda/emulator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

#include "tests/engine/cuda/device_memory.h"

namespace wenqu::test {
namespace {

using testing::HasSubstr;

// Kernels with one defect each; arguments choose whether it is there.
struct Arguments {
  float* data;
  int n;
  bool defect;
};

// Turns the order of a block's numbers around by way of shared memory.
struct Reverse {
  using Arguments = test::Arguments;
  template <typename Machine>
  static void run(Machine& m, const Arguments& a) {
    const auto shared = m.template shared<float>(m.threads());
    shared.set(m.thread(), m.load(a.data + m.thread()));
    if (!a.defect) m.barrier();
    m.store(a.data + m.thread(), shared.get(m.threads() - 1 - m.thread()));
  }
};

struct Neighbour {   // within a warp: its barrier is enough
  using Arguments = test::Arguments;
  template <typename Machine>
  static void run(Machine& m, const Arguments& a) {
    const auto shared = m.template shared<float>(m.threads());
    shared.set(m.thread(), m.load(a.data + m.thread()));
    m.warp_barrier();
    const float next = shared.get(m.warp() * kWarp + (m.lane() + 1) % kWarp);
    if (!a.defect) m.warp_barrier();
    shared.set(m.thread(), next);
    m.warp_barrier();
    m.store(a.data + m.thread(), shared.get(m.thread()));
  }
};

struct PastTheEnd {
  using Arguments = test::Arguments;
  template <typename Machine>
  static void run(Machine& m, const Arguments& a) {
    const int i = m.block_x() * m.threads() + m.thread();
    if (i < a.n || a.defect) m.store(a.data + i, m.load(a.data + i) + 1);
  }
};

struct Unwritten {
  using Arguments = test::Arguments;
  template <typename Machine>
  static void run(Machine& m, const Arguments& a) {
    const auto shared = m.template shared<float>(m.threads());
    if (m.thread() < 40 || !a.defect) shared.set(m.thread(), 2);
    m.barrier();
    m.store(a.data + m.thread(), shared.get(m.thread()));
  }
};

struct NotByAll {
  using Arguments = test::Arguments;
  template <typename Machine>
  static void run(Machine& m, const Arguments& a) {
    if (a.defect && m.thread() >= a.n) return;
    m.barrier();
    m.store(a.data + m.thread(), 1.0f);
  }
};

struct NotByTheWarp {
  using Arguments = test::Arguments;
  template <typename Machine>
  static void run(Machine& m, const Arguments& a) {
    float v = static_cast<float>(m.lane());
    if (!a.defect || m.lane() < 16) v = m.shuffle_xor(v, 1);
    if (a.defect && m.lane() >= 16) m.warp_barrier();
    m.store(a.data + m.thread(), v);
  }
};

struct SamePlace {   // two blocks, or two threads
  using Arguments = test::Arguments;
  template <typename Machine>
  static void run(Machine& m, const Arguments& a) {
    m.store(a.data + (a.defect ? m.thread() : m.block_x() * m.threads() + m.thread()), 1.0f);
  }
};

struct TooMuchShared {
  using Arguments = test::Arguments;
  template <typename Machine>
  static void run(Machine& m, const Arguments& a) {
    m.template shared<float>(a.defect ? 1000 : 10);
    m.store(a.data + m.thread(), 1.0f);
  }
};

struct Crooked {
  using Arguments = test::Arguments;
  template <typename Machine>
  static void run(Machine& m, const Arguments& a) {
    if (m.thread() == 0) m.load(reinterpret_cast<const Word4*>(a.data + (a.defect ? 1 : 4)));
  }
};

// Each block writes numbers, and the last that is done reads all of them.
struct LastBlock {
  using Arguments = test::Arguments;
  template <typename Machine>
  static void run(Machine& m, const Arguments& a) {
    float* const numbers = a.data + 4;
    auto* const counter = reinterpret_cast<uint32_t*>(a.data);
    const int own = m.block_x() * m.threads() + m.thread(), all = m.blocks_x() * m.threads();
    m.store(numbers + own, 1.0f);
    // With the defect, one reads without having waited for the others.
    if (!m.last_block(counter, m.blocks_x()) && !(a.defect && m.block_x() == 1)) return;
    float sum = 0;
    for (int i = m.thread(); i < all; i += m.threads()) sum += m.load(numbers + i);
    m.barrier();
    m.store(numbers + m.thread(), sum);
  }
};

struct WritesAfterItsCount {
  using Arguments = test::Arguments;
  template <typename Machine>
  static void run(Machine& m, const Arguments& a) {
    float* const numbers = a.data + 4;
    const int own = m.block_x() * m.threads() + m.thread();
    if (!a.defect) m.store(numbers + own, 1.0f);
    const bool last = m.last_block(reinterpret_cast<uint32_t*>(a.data), m.blocks_x());
    if (a.defect) m.store(numbers + own, 1.0f);
    if (last) m.load(numbers + m.thread());
  }
};

class EmulatorTest : public testing::Test {
 protected:
  template <typename K>
  Status run(bool defect, Grid grid = {1, 1, 1}, unsigned threads = 64) {
    Emulator device({Emulator::kernel<K>("kernel")});
    std::vector<float> values(128);
    for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
    const Array<float> data(device, values);
    const Arguments arguments{data.data(), 128, defect};
    const Status status = device.launch({0, grid, threads, threads * sizeof(float), &arguments, sizeof arguments});
    if (status) out_ = data.values();
    EXPECT_EQ(device.synchronize().is_ok(), status.is_ok());
    return status;
  }
  std::vector<float> out_;
};

TEST_F(EmulatorTest, ThreadsMeetAtABarrier) {
  ASSERT_TRUE(run<Reverse>(false));
  for (size_t i = 0; i < 64; ++i) EXPECT_EQ(out_[i], static_cast<float>(63 - i));
}

TEST_F(EmulatorTest, AMissingBarrierIsFound) {
  const Status status = run<Reverse>(true);
  ASSERT_FALSE(status);
  EXPECT_THAT(status.message(), HasSubstr("nobody has written"));   // thread 0 comes first here
  EXPECT_THAT(status.message(), HasSubstr("kernel, block (0, 0, 0), thread"));
}

TEST_F(EmulatorTest, ARaceBetweenReadingAndWritingIsFoundWithinAWarp) {
  ASSERT_TRUE(run<Neighbour>(false));
  EXPECT_EQ(out_[31], 0);
  EXPECT_EQ(out_[32], 33);
  const Status status = run<Neighbour>(true);
  ASSERT_FALSE(status);
  EXPECT_THAT(status.message(), HasSubstr("no barrier between"));
}

TEST_F(EmulatorTest, AccessPastTheEndOfABufferIsFound) {
  ASSERT_TRUE(run<PastTheEnd>(false, {3}));
  EXPECT_THAT(run<PastTheEnd>(true, {3}).message(), HasSubstr("block (2, 0, 0), thread 0: reads 4 bytes"));
}

TEST_F(EmulatorTest, ReadingWhatNobodyWroteIsFound) {
  ASSERT_TRUE(run<Unwritten>(false));
  EXPECT_THAT(run<Unwritten>(true).message(), HasSubstr("thread 63: reads byte 252 of shared memory, which nobody has written"));
}

TEST_F(EmulatorTest, ABarrierThatNotAllThreadsReachIsFound) {
  const auto at_64 = [&](bool defect) {
    Emulator device({Emulator::kernel<NotByAll>("kernel")});
    const Array<float> data(device, std::vector<float>(64));
    const Arguments arguments{data.data(), 40, defect};
    return device.launch({0, {}, 64, 0, &arguments, sizeof arguments});
  };
  ASSERT_TRUE(at_64(false));
  EXPECT_THAT(at_64(true).message(), HasSubstr("waits at a barrier that 24 threads of the block never reach"));
}

TEST_F(EmulatorTest, LanesThatMeetInDifferentOperationsAreFound) {
  ASSERT_TRUE(run<NotByTheWarp>(false));
  EXPECT_THAT(run<NotByTheWarp>(true).message(), HasSubstr("reaches a warp barrier while other lanes of its warp are at a shuffle"));
}

TEST_F(EmulatorTest, BlocksThatWriteTheSamePlaceAreFound) {
  ASSERT_TRUE(run<SamePlace>(false, {2}));
  EXPECT_THAT(run<SamePlace>(true, {2}).message(), HasSubstr("which thread 0 of block 0 wrote, with no barrier between"));
}

TEST_F(EmulatorTest, TheLastBlockSeesWhatTheOthersWrote) {
  ASSERT_TRUE(run<LastBlock>(false, {3}, 32));
  EXPECT_EQ(out_[0], 0);   // the count begins anew
  EXPECT_EQ(out_[4], 3);
  EXPECT_THAT(run<LastBlock>(true, {3}, 32).message(), HasSubstr("of block 0 wrote, with no barrier between"));
}

TEST_F(EmulatorTest, WhatABlockWritesAfterItsCountIsNotSeenByTheLast) {
  ASSERT_TRUE(run<WritesAfterItsCount>(false, {3}, 32));
  EXPECT_THAT(run<WritesAfterItsCount>(true, {3}, 32).message(), HasSubstr("of block 0 wrote, with no barrier between"));
}

TEST_F(EmulatorTest, MoreSharedMemoryThanLaunchedWithIsFound) {
  ASSERT_TRUE(run<TooMuchShared>(false));
  EXPECT_THAT(run<TooMuchShared>(true).message(), HasSubstr("4000 bytes of shared memory, launched with 256"));
}

TEST_F(EmulatorTest, AccessThatIsNotAlignedIsFound) {
  ASSERT_TRUE(run<Crooked>(false));
  EXPECT_THAT(run<Crooked>(true).message(), HasSubstr("not aligned to 16"));
}

// out[16][8] = a * b by one product of the tensor cores, fragments filled and read as machine.h says.
struct HalvesProduct {
  struct Arguments {
    const Half *a, *b;   // [16][16], [16][8]
    float* out;
  };
  template <typename Machine>
  static void run(Machine& m, const Arguments& x) {
    const int g = m.lane() / 4, t = m.lane() % 4;
    const auto pair = [&](const Half* p, int first, int step) {
      return m.load(p + first).bits | static_cast<uint32_t>(m.load(p + first + step).bits) << 16;
    };
    uint32_t a[4], b[2];
    for (int i = 0; i < 4; ++i) a[i] = pair(x.a, (g + i % 2 * 8) * 16 + 2 * t + i / 2 * 8, 1);
    for (int i = 0; i < 2; ++i) b[i] = pair(x.b, (2 * t + i * 8) * 8 + g, 8);
    float d[4] = {};
    m.mma_f16(d, a, b);
    for (int i = 0; i < 4; ++i) m.store(x.out + (g + i / 2 * 8) * 8 + 2 * t + i % 2, d[i]);
  }
};

TEST_F(EmulatorTest, ProductsOfHalvesAreMatrixProducts) {
  Emulator device({Emulator::kernel<HalvesProduct>("kernel")});
  std::vector<Half> a(256), b(128);
  const auto value = [](size_t i) { return static_cast<float>(i * 37 % 23) - 11; };
  for (size_t i = 0; i < a.size(); ++i) a[i].bits = engine::cpu::float_to_half(value(i));
  for (size_t i = 0; i < b.size(); ++i) b[i].bits = engine::cpu::float_to_half(value(i + 5));
  const Array<Half> left(device, a), right(device, b);
  const Array<float> out(device, 128);
  const HalvesProduct::Arguments arguments{left.data(), right.data(), out.data()};
  ASSERT_TRUE(device.launch({0, {}, 32, 0, &arguments, sizeof arguments}));
  const std::vector<float> got = out.values();
  for (size_t r = 0; r < 16; ++r)
    for (size_t c = 0; c < 8; ++c) {
      float want = 0;
      for (size_t k = 0; k < 16; ++k) want += value(r * 16 + k) * value(k * 8 + c + 5);
      EXPECT_EQ(got[r * 8 + c], want) << r << " " << c;
    }
}

struct FourMatrices {
  struct Arguments {
    const Word4* rows;       // [32] of eight halves
    Word4 *out, *transposed;
  };
  template <typename Machine>
  static void run(Machine& m, const Arguments& a) {
    const auto rows = m.template shared<Word4>(kWarp);
    rows.set(m.lane(), m.load(a.rows + m.lane()));
    m.warp_barrier();
    m.store(a.out + m.lane(), m.matrices(rows.at(m.lane(), 1)));
    m.store(a.transposed + m.lane(), m.matrices_transposed(rows.at(m.lane(), 1)));
  }
};

TEST_F(EmulatorTest, MatricesAreSpreadOverTheLanes) {
  Emulator device({Emulator::kernel<FourMatrices>("kernel")});
  std::vector<Word4> rows;   // the half in row r of all, column c, is 8 * r + c
  for (uint32_t r = 0; r < 32; ++r) {
    const auto pair = [&](uint32_t c) { return (8 * r + c) | (8 * r + c + 1) << 16; };
    rows.push_back({pair(0), pair(2), pair(4), pair(6)});
  }
  const Array<Word4> in(device, rows), out(device, 32), transposed(device, 32);
  const FourMatrices::Arguments arguments{in.data(), out.data(), transposed.data()};
  ASSERT_TRUE(device.launch({0, {}, 32, 32 * sizeof(Word4), &arguments, sizeof arguments}));
  const std::vector<Word4> plain = out.values(), turned = transposed.values();
  for (uint32_t lane = 0; lane < 32; ++lane) {
    const uint32_t g = lane / 4, t = lane % 4;
    EXPECT_EQ(plain[lane].z, (8 * (16 + g) + 2 * t) | (8 * (16 + g) + 2 * t + 1) << 16);
    EXPECT_EQ(turned[lane].z, (8 * (16 + 2 * t) + g) | (8 * (16 + 2 * t + 1) + g) << 16);
  }
}

struct Copies {
  struct Arguments {
    const Word4* in;
    Word4* out;
    bool wait, barrier;
  };
  template <typename Machine>
  static void run(Machine& m, const Arguments& a) {
    const auto there = m.template shared<Word4>(64);
    m.copy_async(there, m.thread(), a.in + m.thread());
    if (a.wait) m.wait_copies();
    if (a.barrier) m.barrier();
    m.store(a.out + m.thread(), there.get(63 - m.thread()));
  }
};

TEST_F(EmulatorTest, CopiesAreThereAfterWaitingAndABarrier) {
  for (const bool wait : {true, false})
    for (const bool barrier : {true, false}) {
      Emulator device({Emulator::kernel<Copies>("kernel")});
      std::vector<Word4> values(64);
      for (uint32_t i = 0; i < 64; ++i) values[i].x = i;
      const Array<Word4> in(device, values), out(device, 64);
      const Copies::Arguments arguments{in.data(), out.data(), wait, barrier};
      const Status status = device.launch({0, {}, 64, 64 * sizeof(Word4), &arguments, sizeof arguments});
      ASSERT_EQ(static_cast<bool>(status), wait && barrier);
      if (status) {
        EXPECT_EQ(out.values()[3].x, 60u);
      } else if (barrier) {
        EXPECT_THAT(status.message(), HasSubstr("still being copied"));
      }
    }
}

struct BytesProduct {
  struct Arguments {
    const uint32_t *a, *b;   // [16][8] words of four bytes; [8 columns][8] words
    int* out;
  };
  template <typename Machine>
  static void run(Machine& m, const Arguments& x) {
    const int g = m.lane() / 4, t = m.lane() % 4;
    uint32_t a[4], b[2];
    for (int i = 0; i < 4; ++i) a[i] = m.load(x.a + (g + i % 2 * 8) * 8 + t + i / 2 * 4);
    for (int i = 0; i < 2; ++i) b[i] = m.load(x.b + g * 8 + t + i * 4);
    int d[4] = {};
    m.mma_s8(d, a, b);
    for (int i = 0; i < 4; ++i) m.store(x.out + (g + i / 2 * 8) * 8 + 2 * t + i % 2, d[i]);
  }
};

TEST_F(EmulatorTest, ProductsOfBytesAreMatrixProducts) {
  Emulator device({Emulator::kernel<BytesProduct>("kernel")});
  std::vector<uint32_t> a(128), b(64);
  for (size_t i = 0; i < a.size(); ++i) a[i] = static_cast<uint32_t>(i * 2654435761u);
  for (size_t i = 0; i < b.size(); ++i) b[i] = static_cast<uint32_t>((i + 9) * 2246822519u);
  const Array<uint32_t> left(device, a), right(device, b);
  const Array<int> out(device, 128);
  const BytesProduct::Arguments arguments{left.data(), right.data(), out.data()};
  ASSERT_TRUE(device.launch({0, {}, 32, 0, &arguments, sizeof arguments}));
  const std::vector<int> got = out.values();
  const auto byte = [](const std::vector<uint32_t>& words, size_t row, size_t k) { return static_cast<int8_t>(words[row * 8 + k / 4] >> (k % 4 * 8)); };
  for (size_t r = 0; r < 16; ++r)
    for (size_t c = 0; c < 8; ++c) {
      int want = 0;
      for (size_t k = 0; k < 32; ++k) want += byte(a, r, k) * byte(b, c, k);
      EXPECT_EQ(got[r * 8 + c], want) << r << " " << c;
    }
}

// out[64][N] = a * b^T by one product of tiles, which may be asked for in wrong ways.
enum class TileFault { none, no_fence, no_barrier, written_to, never_waited, crooked, by_one_warp };
template <int N>
struct TilesProduct {
  struct Arguments {
    const Word4 *a, *b;   // [64][8], [N][8] words of halves
    float* out;
    TileFault fault;
  };
  template <typename Machine>
  static void run(Machine& m, const Arguments& x) {
    const auto all = m.template shared<Word4>((64 + N + 1) * 8);
    const int begin = x.fault == TileFault::crooked ? 8 : 0;
    const auto a = all.at(begin, 64 * 8), b = all.at(begin + 64 * 8, N * 8);
    for (int i = m.thread(); i < 64 * 8; i += m.threads()) a.set(word_of_tile(i / 8, i % 8), m.load(x.a + i));
    for (int i = m.thread(); i < N * 8; i += m.threads()) m.copy_async(b, word_of_tile(i / 8, i % 8), x.b + i);
    m.wait_copies();
    if (x.fault != TileFault::no_fence) m.fence_tiles();
    if (x.fault != TileFault::no_barrier) m.barrier();
    if (x.fault == TileFault::by_one_warp && m.warp() > 0) return;
    float d[64] = {};
    m.template multiply_tiles<N>(d, a, b);
    if (x.fault == TileFault::written_to && m.thread() == 5) b.set(3, Word4());
    if (x.fault == TileFault::never_waited) return;
    m.wait_tiles(d);
    for (int i = 0; i < N / 2; ++i) m.store(x.out + (m.warp() * 16 + m.lane() / 4 + i / 2 % 2 * 8) * N + i / 4 * 8 + m.lane() % 4 * 2 + i % 2, d[i]);
  }
};

template <int N>
void multiply_tiles_and_break_their_rules() {
  std::vector<Half> a(64 * 64), b(N * 64);
  const auto value = [](size_t i) { return static_cast<float>(i * 37 % 23) - 11; };
  for (size_t i = 0; i < a.size(); ++i) a[i].bits = engine::cpu::float_to_half(value(i));
  for (size_t i = 0; i < b.size(); ++i) b[i].bits = engine::cpu::float_to_half(value(3 * i + 1));
  const auto multiply = [&](TileFault fault, std::vector<float>& product) {
    Emulator device({Emulator::kernel<TilesProduct<N>>("kernel")});
    const Array<Half> left(device, a), right(device, b);
    const Array<float> out(device, 64 * N);
    const typename TilesProduct<N>::Arguments arguments{reinterpret_cast<const Word4*>(left.data()), reinterpret_cast<const Word4*>(right.data()), out.data(), fault};
    const Status status = device.launch({0, {}, kWarpgroup, (64 + N + 1) * 8 * sizeof(Word4), &arguments, sizeof arguments});
    if (status) product = out.values();
    return status;
  };
  std::vector<float> got;
  ASSERT_TRUE(multiply(TileFault::none, got));
  for (size_t r = 0; r < 64; ++r)
    for (size_t c = 0; c < N; ++c) {
      float want = 0;
      for (size_t k = 0; k < 64; ++k) want += value(r * 64 + k) * value(3 * (c * 64 + k) + 1);
      ASSERT_EQ(got[r * N + c], want) << r << " " << c;
    }
  EXPECT_THAT(multiply(TileFault::no_fence, got).message(), HasSubstr("wrote with no fence after it"));
  EXPECT_THAT(multiply(TileFault::no_barrier, got).message(), HasSubstr("no barrier between"));
  EXPECT_THAT(multiply(TileFault::written_to, got).message(), HasSubstr("thread 5: writes byte"));
  EXPECT_THAT(multiply(TileFault::never_waited, got).message(), HasSubstr("ends before its product of tiles"));
  EXPECT_THAT(multiply(TileFault::crooked, got).message(), HasSubstr("not aligned to 1024"));
  EXPECT_THAT(multiply(TileFault::by_one_warp, got).message(), HasSubstr("waits at a product of tiles that 96 threads"));
}

TEST_F(EmulatorTest, ProductsOfTilesAreMatrixProductsAndTheirRulesAreKept) {
  multiply_tiles_and_break_their_rules<64>();
  multiply_tiles_and_break_their_rules<128>();
}

TEST_F(EmulatorTest, WhatIsRecordedRunsWhenItIsReplayed) {
  Emulator device({Emulator::kernel<PastTheEnd>("kernel")});
  const Array<float> data(device, std::vector<float>(64, 1.0f)), saved(device, 64);
  {
    const Arguments arguments{data.data(), 64, false};
    ASSERT_TRUE(device.begin_recording());
    ASSERT_TRUE(device.launch({0, {}, 64, 0, &arguments, sizeof arguments}));
    ASSERT_TRUE(device.copy(saved.data(), data.data(), 64 * sizeof(float)));
  }
  Device::Graph* const graph = *device.end_recording();
  EXPECT_EQ(data.values()[5], 1);
  ASSERT_TRUE(device.replay(*graph));
  ASSERT_TRUE(device.replay(*graph));
  device.discard(graph);
  EXPECT_EQ(saved.values()[5], 3);
}

TEST_F(EmulatorTest, MemoryThatIsSpentIsAnErrorWithWhatIsLeft) {
  Emulator device({}, 1000);
  void* const first = *device.allocate(600);
  const Result<void*> second = device.allocate(600);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.status().code(), StatusCode::out_of_memory);
  EXPECT_THAT(second.status().message(), HasSubstr("400 bytes left"));
  device.release(first);
  EXPECT_EQ(device.free_bytes(), 1000u);
}

}  // namespace
}  // namespace wenqu::test
