#include "engine/cuda/warpgroup_check.h"

#include <cstdint>
#include <vector>

#include "engine/cuda/kernel_list.h"

namespace wenqu::engine::cuda {
namespace {

constexpr int kOutputs = 200, kInputs = 192;   // two blocks, one of them not full, and stages in turn

int weight(int output, int i) { return (output * 7 + i * 5) % 15 - 7; }
int input(int row, int i) { return (row * 3 + i * 11) % 13 - 6; }

// Halves of whole numbers below 2048, which need no rounding: the CPU kernels, which can round, are not in the module.
Half half(int n) {
  if (n == 0) return {0};
  const unsigned size = static_cast<unsigned>(n < 0 ? -n : n);
  int exponent = 0;
  while (size >> (exponent + 1)) ++exponent;
  return {static_cast<uint16_t>((n < 0 ? 0x8000u : 0u) | static_cast<unsigned>(exponent + 15) << 10 | ((size << (10 - exponent)) & 1023))};
}

class Check {
 public:
  explicit Check(Device& device) : device_(device) {}
  ~Check() {
    for (void* memory : memory_) device_.release(memory);
  }

  Result<bool> run() {
    for (const int rows : {40, 128}) {   // products of either width
      WENQU_ASSIGN_OR_RETURN(const bool copied, multiplies<gguf::Type::f16>(rows));
      WENQU_ASSIGN_OR_RETURN(const bool unpacked, multiplies<gguf::Type::q8_0>(rows));
      if (!copied || !unpacked) return false;
    }
    return true;
  }

 private:
  template <typename T>
  Result<T*> allocate(size_t n) {
    WENQU_ASSIGN_OR_RETURN(void* const memory, device_.allocate(n * sizeof(T)));
    memory_.push_back(memory);
    return static_cast<T*>(memory);
  }
  template <typename T>
  Result<T*> upload(const std::vector<T>& values) {
    WENQU_ASSIGN_OR_RETURN(T* const memory, allocate<T>(values.size()));
    WENQU_RETURN_IF_ERROR(device_.upload(memory, values.data(), values.size() * sizeof(T)));
    return memory;
  }

  template <gguf::Type type>
  Result<bool> multiplies(int rows) {
    const size_t row_bytes = device_row_bytes(type, kInputs), count = static_cast<size_t>(rows);
    std::vector<std::byte> file(static_cast<size_t>(kInputs / row_layout(type).block_values * row_layout(type).block_bytes)), laid_out(row_bytes * kOutputs);
    for (int o = 0; o < kOutputs; ++o) {
      for (int i = 0; i < kInputs; ++i) {
        if constexpr (type == gguf::Type::f16) {
          reinterpret_cast<Half*>(file.data())[i] = half(weight(o, i));
        } else {   // blocks of a scale, 1, and 32 bytes
          std::byte* const block = file.data() + i / kBlock * (2 + kBlock);
          *reinterpret_cast<Half*>(block) = half(1);
          block[2 + i % kBlock] = static_cast<std::byte>(weight(o, i));
        }
      }
      lay_out_row(type, file.data(), kInputs, laid_out.data() + static_cast<size_t>(o) * row_bytes);
    }
    std::vector<Half> halves(count * kInputs);
    for (int r = 0; r < rows; ++r)
      for (int i = 0; i < kInputs; ++i) halves[static_cast<size_t>(r * kInputs + i)] = half(input(r, i));
    WENQU_ASSIGN_OR_RETURN(const std::byte* const weights, upload(laid_out));
    WENQU_ASSIGN_OR_RETURN(Half* const x, upload(halves));
    WENQU_ASSIGN_OR_RETURN(float* const scales, upload(std::vector<float>(count, 1.0f)));
    WENQU_ASSIGN_OR_RETURN(float* const out, upload(std::vector<float>(count * kOutputs, -1.0f)));
    WENQU_RETURN_IF_ERROR(launch<WarpgroupMatMul<type>>(device_, {static_cast<unsigned>(divide_up(kOutputs, warpgroups::kOutputs))},
                                                        {{weights, row_bytes, 0, kInputs, kOutputs}, {x, scales, kInputs}, {nullptr, nullptr, 1, rows, 1}, out, kOutputs, nullptr, false}));
    std::vector<float> got(count * kOutputs);
    WENQU_RETURN_IF_ERROR(device_.download(got.data(), out, got.size() * sizeof(float)));
    for (int r = 0; r < rows; ++r)
      for (int o = 0; o < kOutputs; ++o) {
        int want = 0;
        for (int i = 0; i < kInputs; ++i) want += weight(o, i) * input(r, i);
        if (got[static_cast<size_t>(r * kOutputs + o)] != static_cast<float>(want)) return false;
      }
    return true;
  }

  Device& device_;
  std::vector<void*> memory_;
};

}  // namespace

Result<bool> multiplies_by_warpgroups(Device& device) { return Check(device).run(); }

}  // namespace wenqu::engine::cuda
