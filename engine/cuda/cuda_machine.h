// The machine of machine.h on the device itself; for nvcc only.
#pragma once

#include <cuda_fp16.h>

#include "engine/cuda/machine.h"

namespace wenqu::engine::cuda {

class CudaMachine {
 public:
  template <typename T>
  class Shared {
   public:
    __device__ __forceinline__ explicit Shared(T* data) : data_(data) {}
    __device__ __forceinline__ T get(int i) const { return data_[i]; }
    __device__ __forceinline__ void set(int i, T value) const { data_[i] = value; }
    __device__ __forceinline__ Shared at(int i, int) const { return Shared(data_ + i); }
    template <typename U>   // the same bytes as other values
    __device__ __forceinline__ Shared<U> as() const { return Shared<U>(reinterpret_cast<U*>(data_)); }

    __device__ __forceinline__ uint32_t address() const { return static_cast<uint32_t>(__cvta_generic_to_shared(data_)); }

   private:
    T* data_;
  };

  __device__ __forceinline__ int thread() const { return static_cast<int>(threadIdx.x); }
  __device__ __forceinline__ int threads() const { return static_cast<int>(blockDim.x); }
  __device__ __forceinline__ int lane() const { return thread() % kWarp; }
  __device__ __forceinline__ int warp() const { return thread() / kWarp; }
  __device__ __forceinline__ int warps() const { return threads() / kWarp; }
  __device__ __forceinline__ int block_x() const { return static_cast<int>(blockIdx.x); }
  __device__ __forceinline__ int block_y() const { return static_cast<int>(blockIdx.y); }
  __device__ __forceinline__ int block_z() const { return static_cast<int>(blockIdx.z); }
  __device__ __forceinline__ int blocks_x() const { return static_cast<int>(gridDim.x); }

  template <typename T>
  __device__ __forceinline__ T load(const T* p) const { return *p; }
  template <typename T>
  __device__ __forceinline__ T load_once(const T* p) const { return *p; }
  __device__ __forceinline__ Word4 load_once(const Word4* p) const {
    Word4 v;
    asm("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];" : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "l"(p));
    return v;
  }
  template <typename T>
  __device__ __forceinline__ void store(T* p, T value) const { *p = value; }

  template <typename T>
  __device__ __forceinline__ Shared<T> shared(int n) {
    extern __shared__ __align__(kTileAlignment) unsigned char memory[];
    T* const data = reinterpret_cast<T*>(memory + used_);
    used_ += round_up(n * static_cast<int>(sizeof(T)), 16);
    return Shared<T>(data);
  }

  __device__ __forceinline__ void copy_async(Shared<Word4> to, int i, const Word4* from) const {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" : : "r"(to.at(i, 1).address()), "l"(from) : "memory");
#else
    to.set(i, load_once(from));
#endif
  }
  __device__ __forceinline__ void wait_copies() const {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.wait_all;" : : : "memory");
#endif
  }

  __device__ __forceinline__ void barrier() const { __syncthreads(); }
  __device__ __forceinline__ void warp_barrier() const { __syncwarp(); }
  __device__ __forceinline__ bool last_block(uint32_t* counter, int blocks) const {
    __threadfence();   // what this thread wrote comes before the count,
    __syncthreads();   // and so does what the block's others wrote
    const unsigned most = static_cast<unsigned>(blocks) - 1;
    const bool last = __syncthreads_or(thread() == 0 && atomicInc(counter, most) == most) != 0;
    if (last) __threadfence();
    return last;
  }
  template <typename T>
  __device__ __forceinline__ T shuffle(T value, int lane) const { return __shfl_sync(0xFFFFFFFF, value, lane); }
  template <typename T>
  __device__ __forceinline__ T shuffle_xor(T value, int mask) const { return __shfl_xor_sync(0xFFFFFFFF, value, mask); }

  __device__ __forceinline__ int dot4(uint32_t a, uint32_t b, int c) const {
    return __dp4a(static_cast<int>(a), static_cast<int>(b), c);
  }
  __device__ __forceinline__ uint32_t permute(uint32_t a, uint32_t b, uint32_t selector) const { return __byte_perm(a, b, selector); }
  __device__ __forceinline__ float as_float(uint32_t bits) const { return __uint_as_float(bits); }
  __device__ __forceinline__ uint32_t bits(float value) const { return __float_as_uint(value); }
  __device__ __forceinline__ Float4 fp8_to_float(uint32_t four) const {
#if __CUDA_ARCH__ >= 890
    uint32_t low, high;
    asm("{.reg .b16 a, b; mov.b32 {a, b}, %2; cvt.rn.f16x2.e4m3x2 %0, a; cvt.rn.f16x2.e4m3x2 %1, b;}" : "=r"(low), "=r"(high) : "r"(four));
    constexpr float kFactor = 1;
#else   // as halves they have the exponent of a number 256 times as small
    const uint32_t low_bytes = __byte_perm(four, 0, 0x1404), high_bytes = __byte_perm(four, 0, 0x3424);
    const uint32_t low = (low_bytes & 0x80008000) | (low_bytes & 0x7F007F00) >> 1, high = (high_bytes & 0x80008000) | (high_bytes & 0x7F007F00) >> 1;
    constexpr float kFactor = 256;
#endif
    return {kFactor * to_float(Half{static_cast<uint16_t>(low)}), kFactor * to_float(Half{static_cast<uint16_t>(low >> 16)}),
            kFactor * to_float(Half{static_cast<uint16_t>(high)}), kFactor * to_float(Half{static_cast<uint16_t>(high >> 16)})};
  }
  __device__ __forceinline__ float to_float(Half value) const { return __half2float(__ushort_as_half(value.bits)); }
  __device__ __forceinline__ float to_float(Bfloat value) const { return __uint_as_float(static_cast<uint32_t>(value.bits) << 16); }
  // Beyond the range, the largest half float.
  __device__ __forceinline__ Half to_half(float value) const {
    return {__half_as_ushort(__float2half_rn(fminf(fmaxf(value, -65504.0f), 65504.0f)))};
  }
  __device__ __forceinline__ float exp(float x) const { return __expf(x); }
  __device__ __forceinline__ float rsqrt(float x) const { return 1.0f / sqrtf(x); }
  __device__ __forceinline__ float fma(float a, float b, float c) const { return fmaf(a, b, c); }
  __device__ __forceinline__ float times(float a, float b) const { return __fmul_rn(a, b); }   // never made one with an addition
  __device__ __forceinline__ int round(float x) const { return __float2int_rn(x); }

  __device__ __forceinline__ uint32_t pack(float a, float b) const {
#if __CUDA_ARCH__ >= 900
    uint32_t pair;
    asm("cvt.rn.satfinite.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(b), "f"(a));
    return pair;
#else
    const __half2 pair = __floats2half2_rn(fminf(fmaxf(a, -65504.0f), 65504.0f), fminf(fmaxf(b, -65504.0f), 65504.0f));
    return __half_as_ushort(__low2half(pair)) | static_cast<uint32_t>(__half_as_ushort(__high2half(pair))) << 16;
#endif
  }

  template <typename T>
  __device__ __forceinline__ Word4 matrices(Shared<T> row) const {
    Word4 v;
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "r"(row.address()) : "memory");
    return v;
  }
  template <typename T>
  __device__ __forceinline__ Word4 matrices_transposed(Shared<T> row) const {
    Word4 v;
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "r"(row.address()) : "memory");
    return v;
  }

  __device__ __forceinline__ void mma_f16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) const {
#if __CUDA_ARCH__ >= 800
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else   // Turing: half the depth at a time
    asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]) : "r"(a[0]), "r"(a[1]), "r"(b[0]));
    asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]) : "r"(a[2]), "r"(a[3]), "r"(b[1]));
#endif
  }

  __device__ __forceinline__ void mma_s8(int (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) const {
#if __CUDA_ARCH__ >= 800
    asm("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else   // Turing: eight rows and half the depth at a time
    asm("mma.sync.aligned.m8n8k16.row.col.s32.s8.s8.s32 {%0, %1}, {%2}, {%3}, {%0, %1};" : "+r"(d[0]), "+r"(d[1]) : "r"(a[0]), "r"(b[0]));
    asm("mma.sync.aligned.m8n8k16.row.col.s32.s8.s8.s32 {%0, %1}, {%2}, {%3}, {%0, %1};" : "+r"(d[0]), "+r"(d[1]) : "r"(a[2]), "r"(b[1]));
    asm("mma.sync.aligned.m8n8k16.row.col.s32.s8.s8.s32 {%0, %1}, {%2}, {%3}, {%0, %1};" : "+r"(d[2]), "+r"(d[3]) : "r"(a[1]), "r"(b[0]));
    asm("mma.sync.aligned.m8n8k16.row.col.s32.s8.s8.s32 {%0, %1}, {%2}, {%3}, {%0, %1};" : "+r"(d[2]), "+r"(d[3]) : "r"(a[3]), "r"(b[1]));
#endif
  }

  __device__ __forceinline__ void fence_tiles() const {
#if __CUDA_ARCH__ >= 900
    asm volatile("fence.proxy.async.shared::cta;" : : : "memory");
#endif
  }
  template <int N, typename T>
  __device__ __forceinline__ void multiply_tiles(float (&d)[64], Shared<T> a, Shared<T> b) const {
    static_assert(N == 64 || N == 128);
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    asm volatile("wgmma.fence.sync.aligned;" : : : "memory");
    WENQU_UNROLL
    for (int k = 0; k < kTileDepth / 16; ++k) {   // a swizzled row goes on 32 bytes later
      const uint64_t left = tile(a.address() + 32 * k), right = tile(b.address() + 32 * k);
      if constexpr (N == 128) wgmma_128(d, left, right);
      else wgmma_64(d, left, right);
    }
    asm volatile("wgmma.commit_group.sync.aligned;" : : : "memory");
#endif   // code for others gives zeros, which multiplies_by_warpgroups() sees
  }
  __device__ __forceinline__ void wait_tiles(float (&d)[64]) const {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    asm volatile("wgmma.wait_group.sync.aligned 0;" : : : "memory");
    WENQU_UNROLL
    for (int i = 0; i < 64; ++i) asm volatile("" : "+f"(d[i]) : : "memory");   // not read before
#endif
  }

 private:
  // A tile's descriptor: its address, 1024 bytes from eight rows to the next, a swizzle of 128 bytes.
  __device__ __forceinline__ static uint64_t tile(uint32_t address) {
    return uint64_t{1} << 62 | uint64_t{1024 / 16} << 32 | uint64_t{1} << 16 | (address & 0x3FFFF) >> 4;
  }
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  // Sixteen sums among an instruction's operands.
#define WENQU_SUMS(i)                                                                                                  \
  "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]), "+f"(d[i + 5]), "+f"(d[i + 6]),          \
      "+f"(d[i + 7]), "+f"(d[i + 8]), "+f"(d[i + 9]), "+f"(d[i + 10]), "+f"(d[i + 11]), "+f"(d[i + 12]), "+f"(d[i + 13]), \
      "+f"(d[i + 14]), "+f"(d[i + 15])
#define WENQU_FIRST_32                                                                                               \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, "   \
  "%24, %25, %26, %27, %28, %29, %30, %31"
#define WENQU_LAST_32                                                                                                \
  "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, "   \
  "%54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
  __device__ __forceinline__ static void wgmma_64(float (&d)[64], uint64_t a, uint64_t b) {
    asm volatile("wgmma.mma_async.sync.aligned.m64n64k16.f32.f16.f16 {" WENQU_FIRST_32 "}, %32, %33, 1, 1, 1, 0, 0;"
                 : WENQU_SUMS(0), WENQU_SUMS(16) : "l"(a), "l"(b));
  }
  __device__ __forceinline__ static void wgmma_128(float (&d)[64], uint64_t a, uint64_t b) {
    asm volatile("wgmma.mma_async.sync.aligned.m64n128k16.f32.f16.f16 {" WENQU_FIRST_32 ", " WENQU_LAST_32 "}, %64, %65, 1, 1, 1, 0, 0;"
                 : WENQU_SUMS(0), WENQU_SUMS(16), WENQU_SUMS(32), WENQU_SUMS(48) : "l"(a), "l"(b));
  }
#undef WENQU_LAST_32
#undef WENQU_FIRST_32
#undef WENQU_SUMS
#endif

  int used_ = 0;
};

}  // namespace wenqu::engine::cuda
