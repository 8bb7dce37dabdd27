// What a kernel's body may use of the machine it runs on. Bodies are templates over the machine, so that the same
// text is compiled by nvcc for the device (cuda_machine.h) and by any C++ compiler for a test that emulates
// the device and watches every access (tests/engine/cuda/emulator.h).
//
// A kernel is a struct:
//
//   struct Scale {
//     struct Arguments { const float* in; float* out; int n; float factor; };   // plain data, device pointers
//     static constexpr int kThreads = 256;                                      // of a block; a multiple of 32
//     template <typename Machine>
//     WENQU_DEVICE static void run(Machine& m, const Arguments& a) {
//       const int i = m.block_x() * m.threads() + m.thread();
//       if (i < a.n) m.store(a.out + i, m.load(a.in + i) * a.factor);
//     }
//   };
//
// and stands in kernel_list.h. Every access to memory goes through the machine:
//
//   thread() threads() lane() warp() warps()     within the block; a warp is 32 threads
//   block_x() block_y() block_z() blocks_x()     of the grid
//   load(p)  load_once(p)  store(p, v)           device memory, aligned to the value's size; load_once is for what is
//                                                read by nobody else (weights) and need not stay in the caches
//   shared<T>(n)                                 n values that the block shares: get(i), set(i, v), and at(i, n)
//                                                where a view of a part is wanted. All threads ask for the same, in the same order
//   copy_async(to, i, p)  wait_copies()          value i of shared memory out of device memory, 16 bytes, while the thread goes
//                                                on; what it asked for is there when it has waited, and a barrier later for
//                                                the others
//   barrier()  warp_barrier()                    all threads of the block, of the warp; what they wrote before is seen
//   last_block(counter, blocks)                  for all threads of a block, once: whether it is the last of so many blocks
//                                                to come here; then it sees what they wrote before. counter: 0, in device
//                                                memory, and 0 again when the last has come
//   shuffle(v, lane)  shuffle_xor(v, mask)       a value of another lane; all 32 lanes take part
//   dot4(a, b, c)                                c + the dot product of four signed bytes each
//   permute(a, b, selector)                      byte i of the result is the byte of {b, a} that bits 4i..4i+2 of the
//                                                selector name, a's being 0 to 3 (PTX: prmt)
//   mma_f16(d, a, b)  mma_s8(d, a, b)            tensor cores: see fragments below
//   matrices(row)  matrices_transposed(row)      four 8 x 8 matrices of halves out of shared memory: lane l names row l % 8
//                                                of matrix l / 8, 16 bytes; word i of the result is matrix i's
//                                                (g, 2t..), or transposed its (2t.., g): what mma_f16 takes
//   multiply_tiles<N>(d, a, b)  wait_tiles(d)    tensor cores of a warpgroup, where DeviceInfo::warpgroups: see tiles below
//   fence_tiles()                                what the thread wrote to shared memory is there for tile products, a barrier later
//   exp(x) rsqrt(x) fma(a, b, c) round(x)        arithmetic; round is to the nearest, ties to even
//   times(a, b)                                  a product that is rounded by itself, where results are to be the host's to the last
//                                                bit: others may be made one operation with an addition
//   pack(a, b)                                   two floats as halves in a word, a below; as to_half()
//   to_float(Half)  to_half(float)               to_half gives the largest half float for what is beyond the range
//   fp8_to_float(word)                           four numbers in E4M3, without NaN
//   as_float(word) bits(float)                   the same bits
//
// Fragments of the matrix products (PTX ISA, "Matrix Fragments"), g = lane / 4, t = lane % 4, d: F32 or S32 [16][8]:
//   d[0] (g, 2t)   d[1] (g, 2t+1)   d[2] (g+8, 2t)   d[3] (g+8, 2t+1)
//   mma_f16, depth 16, halves in pairs, a [16][16], b [16][8]:
//     a[0] (g, 2t..)   a[1] (g+8, 2t..)   a[2] (g, 2t+8..)   a[3] (g+8, 2t+8..)   b[0] (2t.., g)   b[1] (2t+8.., g)
//   mma_s8, depth 32, bytes in fours, a [16][32], b [32][8]:
//     a[0] (g, 4t..)   a[1] (g+8, 4t..)   a[2] (g, 4t+16..)   a[3] (g+8, 4t+16..)   b[0] (4t.., g)   b[1] (4t+16.., g)
//
// Tiles (PTX ISA, "Asynchronous Warpgroup Level Matrix Instructions"): 64 or more rows of 64 halves in shared memory, from a
// multiple of 1024 bytes on. Of row r, the 16 bytes of halves 8p to 8p + 7 stand at word_of_tile(r, p), a swizzle of 128
// bytes. multiply_tiles adds a [64][64] times b [N][64], transposed, to d; N is 64 or 128. A warpgroup, four warps from a
// multiple of four on, asks for it together, and goes on while it is done: none of a, b and d may be touched until all of
// the warpgroup have waited for it. d: F32 [64][N], warp w of four, g and t as above:
//   d[4j] (16w+g, 8j+2t)   d[4j+1] (16w+g, 8j+2t+1)   d[4j+2] (16w+g+8, 8j+2t)   d[4j+3] (16w+g+8, 8j+2t+1)
#pragma once

#include <cstddef>
#include <cstdint>

#ifdef __CUDACC__
#define WENQU_DEVICE __device__ __forceinline__
#define WENQU_BOTH __host__ __device__ __forceinline__
#define WENQU_UNROLL _Pragma("unroll")   // where a loop's counter picks registers
#define WENQU_NO_UNROLL _Pragma("unroll 1")   // where its body is long
#else
#define WENQU_DEVICE inline
#define WENQU_BOTH inline
#define WENQU_UNROLL
#define WENQU_NO_UNROLL
#endif

namespace wenqu::engine::cuda {

inline constexpr int kWarp = 32, kWarpgroup = 4 * kWarp;

// Several values that are read and written at once.
struct alignas(8) Word2 { uint32_t x, y; };
struct alignas(16) Word4 { uint32_t x, y, z, w; };
struct alignas(8) Float2 { float x, y; };
struct alignas(16) Float4 { float x, y, z, w; };

// A half float's bits.
struct Half { uint16_t bits; };
struct Bfloat { uint16_t bits; };

WENQU_BOTH constexpr int divide_up(int n, int by) { return (n + by - 1) / by; }
WENQU_BOTH constexpr int round_up(int n, int to) { return divide_up(n, to) * to; }

// Where 16 bytes of a tile's row stand, in words of 16 bytes.
inline constexpr int kTileDepth = 64;
inline constexpr int kTileBytes = kTileDepth * 2 * 64, kTileAlignment = 1024;   // of 64 rows
WENQU_BOTH constexpr int word_of_tile(int row, int piece) { return row * 8 + (piece ^ row % 8); }

// Sums and largest values over a warp: every lane gets the same.
template <typename Machine, typename T>
WENQU_DEVICE T warp_sum(Machine& m, T value) {
  for (int mask = kWarp / 2; mask > 0; mask /= 2) value += m.shuffle_xor(value, mask);
  return value;
}

template <typename Machine>
WENQU_DEVICE float warp_max(Machine& m, float value) {
  for (int mask = kWarp / 2; mask > 0; mask /= 2) {
    const float other = m.shuffle_xor(value, mask);
    value = other > value ? other : value;
  }
  return value;
}

}  // namespace wenqu::engine::cuda
