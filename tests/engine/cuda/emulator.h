// A device that runs kernels on the CPU and watches them. Each thread of a block is a fiber; blocks run one after
// another. A kernel that breaks a rule stops with a status that names the rule, the kernel, the block and the thread:
//
//   - access outside what was allocated, or not aligned to the value; reading what nobody has written
//   - in shared memory and in device memory: two threads touch the same byte, one of them writing, with no
//     barrier between them (of the block, or of their warp; or the count by which a block knows that it is the last)
//   - a barrier, shuffle or matrix product that not all threads of the block or warp reach
//   - reading what is being copied to shared memory, before it was waited for
//   - a product of tiles of what was written without a fence, of what is written while it goes on, or not waited for
//   - more shared memory than the launch asked for
//
// Thread safety: one thread at a time.
#pragma once

#include <boost/context/fiber.hpp>

#include <cmath>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "engine/cpu/blocks.h"
#include "engine/cpu/fp8.h"
#include "engine/cuda/device.h"
#include "engine/cuda/machine.h"

namespace wenqu::test {

using namespace wenqu::engine::cuda;

class Emulator;

// Who touched a byte last, and when.
struct Touch {
  uint32_t launch = 0, block = 0;
  uint16_t thread = 0;
  uint16_t warp_epoch = 0;    // barriers of its warp before
  uint32_t block_epoch = 0;   // of its block
};

// What is known of each byte of a piece of memory.
struct Shadow {
  static constexpr uint8_t kOnItsWay = 2;
  std::vector<uint8_t> written;           // 1, or kOnItsWay
  std::vector<Touch> writer, reader;
  std::vector<uint8_t> several_readers;   // of different warps since the barrier of `reader`
  void resize(size_t bytes, bool tell_readers);
};

class EmulatedBlock {
 public:
  using Body = std::function<void(EmulatedBlock&, int thread)>;

  EmulatedBlock(Emulator& device, const Launch& launch);

  // Runs one block to its end; false when a rule was broken, which the device then knows.
  bool run(const Body& body, Grid place, uint32_t number);

  const Launch& launch() const { return launch_; }
  const Grid& place() const { return place_; }

  void barrier(int thread);
  void warp_barrier(int thread);
  bool last(int thread, uint32_t* counter, int blocks);
  // Every lane gives `bytes` and gets the slots of all 32, kSlot apart, valid until its next exchange.
  static constexpr size_t kSlot = 64;
  const std::byte* exchange(int thread, const char* what, const void* value, size_t bytes);

  // Products of tiles: rows [rows][kTileDepth] of halves at `at` of shared memory.
  struct Tiles {
    size_t a = 0, b = 0;
    int columns = 0;
  };
  void fence(int thread) { ++fences_[static_cast<size_t>(thread)]; }
  void begin_tiles(int thread, const Tiles& tiles);
  // d of the thread += its part, when all of the warpgroup wait.
  void finish_tiles(int thread, const Tiles& tiles, float (&d)[64]);

  const std::byte* read_shared(int thread, size_t at, size_t bytes);
  std::byte* write_shared(int thread, size_t at, size_t bytes);
  void begin_copy(int thread, size_t at, size_t bytes);   // to shared memory; write_shared() ends it
  void read(int thread, const void* p, size_t bytes, size_t alignment);
  void write(int thread, void* p, size_t bytes, size_t alignment);
  [[noreturn]] void fault(int thread, const std::string& what);

 private:
  struct Broken {};
  struct Thread {
    boost::context::fiber fiber, scheduler;
    const char* waits = nullptr;   // for what; nullptr: runs
    bool done = true;
  };
  struct Warp {
    uint32_t generation = 0;
    int arrived = 0;
    const char* what = nullptr;
    uint16_t epoch = 0;
    alignas(16) std::byte slots[2][kWarp * kSlot];
  };

  // Threads that do something together, from a multiple of their number on.
  struct Warpgroup {
    int arrived = 0;
    const char* what = nullptr;
    Tiles tiles;
    bool multiplied = false;
    std::vector<float> product;   // [64][columns]
  };
  Warpgroup& meet(int thread, const char* what, const Tiles& tiles);
  void read_tiles(int thread, const Tiles& tiles);
  float half_of_tile(size_t tile, int row, int column) const;

  void start(int thread, const Body& body);
  void pause(int thread, const char* what);
  Touch touch(int thread) const;
  bool apart(const Touch& before, const Touch& now) const;
  void check_read(Shadow& shadow, size_t at, size_t bytes, int thread, const char* where, bool tell_readers);
  void check_write(Shadow& shadow, size_t at, size_t bytes, int thread, const char* where, bool tell_readers);

  Emulator& device_;
  const Launch& launch_;
  Grid place_;
  uint32_t number_ = 0;
  std::vector<Thread> threads_;
  std::vector<Warp> warps_;
  std::vector<Warpgroup> warpgroups_;
  std::vector<uint32_t> fences_;         // of each thread so far
  std::vector<uint32_t> fences_before_;  // of its writer, when a byte of shared memory was written
  std::vector<std::byte> shared_;
  Shadow shared_shadow_;
  uint32_t epoch_ = 0;
  int at_barrier_ = 0, alive_ = 0;
  bool broken_ = false;
  const uint32_t* counter_ = nullptr;   // at which this block was the last
  bool last_ = false;
};

// The machine of a kernel's body: see engine/cuda/machine.h.
class EmulatedMachine {
 public:
  template <typename T>
  class Shared {
   public:
    Shared(EmulatedMachine& machine, size_t at, int n) : machine_(&machine), at_(at), n_(n) {}
    T get(int i) const {
      T value;
      std::memcpy(&value, machine_->block_.read_shared(machine_->thread_, place(i), sizeof(T)), sizeof(T));
      return value;
    }
    void set(int i, T value) const { std::memcpy(machine_->block_.write_shared(machine_->thread_, place(i), sizeof(T)), &value, sizeof(T)); }
    Shared at(int i, int n) const {
      if (i < 0 || n < 0 || i + n > n_) machine_->fault("a view of shared memory outside what was asked for");
      return Shared(*machine_, at_ + static_cast<size_t>(i) * sizeof(T), n);
    }
    template <typename U>
    Shared<U> as() const {
      if (at_ % alignof(U) != 0) machine_->fault("shared memory that is not aligned to the type it is taken as");
      return Shared<U>(*machine_, at_, static_cast<int>(static_cast<size_t>(n_) * sizeof(T) / sizeof(U)));
    }

   private:
    friend class EmulatedMachine;
    size_t place(int i) const {
      if (i < 0 || i >= n_) machine_->fault("index " + std::to_string(i) + " of " + std::to_string(n_) + " values of shared memory");
      return at_ + static_cast<size_t>(i) * sizeof(T);
    }
    EmulatedMachine* machine_;
    size_t at_;
    int n_;
  };

  EmulatedMachine(EmulatedBlock& block, int thread) : block_(block), thread_(thread) {}

  int thread() const { return thread_; }
  int threads() const { return static_cast<int>(block_.launch().threads); }
  int lane() const { return thread_ % kWarp; }
  int warp() const { return thread_ / kWarp; }
  int warps() const { return threads() / kWarp; }
  int block_x() const { return static_cast<int>(block_.place().x); }
  int block_y() const { return static_cast<int>(block_.place().y); }
  int block_z() const { return static_cast<int>(block_.place().z); }
  int blocks_x() const { return static_cast<int>(block_.launch().grid.x); }

  template <typename T>
  T load(const T* p) {
    block_.read(thread_, p, sizeof(T), alignof(T));
    return *p;
  }
  template <typename T>
  T load_once(const T* p) { return load(p); }
  template <typename T>
  void store(T* p, T value) {
    block_.write(thread_, p, sizeof(T), alignof(T));
    *p = value;
  }

  template <typename T>
  Shared<T> shared(int n) {
    const size_t at = used_;
    used_ += (static_cast<size_t>(n) * sizeof(T) + 15) / 16 * 16;
    if (used_ > block_.launch().shared_bytes)
      fault("asks for " + std::to_string(used_) + " bytes of shared memory, launched with " + std::to_string(block_.launch().shared_bytes));
    return Shared<T>(*this, at, n);
  }

  void copy_async(Shared<Word4> to, int i, const Word4* from) {
    const Shared<Word4> place = to.at(i, 1);
    if (place.at_ % sizeof(Word4) != 0) fault("copies to shared memory that is not aligned to 16 bytes");
    const Word4 value = load(from);
    block_.begin_copy(thread_, place.at_, sizeof value);
    copies_.emplace_back(place.at_, value);
  }
  void wait_copies() {
    for (const auto& [at, value] : copies_) std::memcpy(block_.write_shared(thread_, at, sizeof value), &value, sizeof value);
    copies_.clear();
  }

  void barrier() { block_.barrier(thread_); }
  void warp_barrier() { block_.warp_barrier(thread_); }
  bool last_block(uint32_t* counter, int blocks) { return block_.last(thread_, counter, blocks); }
  template <typename T>
  T shuffle(T value, int lane) { return take<T>(block_.exchange(thread_, "shuffle", &value, sizeof(T)), lane % kWarp); }
  template <typename T>
  T shuffle_xor(T value, int mask) { return take<T>(block_.exchange(thread_, "shuffle", &value, sizeof(T)), lane() ^ mask); }

  int dot4(uint32_t a, uint32_t b, int c) const {
    for (int i = 0; i < 32; i += 8) c += static_cast<int8_t>(a >> i) * static_cast<int8_t>(b >> i);
    return c;
  }
  uint32_t permute(uint32_t a, uint32_t b, uint32_t selector) const {
    uint32_t out = 0;
    for (int i = 0; i < 4; ++i) {
      const uint32_t from = selector >> (4 * i) & 7;
      out |= ((from < 4 ? a >> (8 * from) : b >> (8 * (from - 4))) & 255) << (8 * i);
    }
    return out;
  }
  float as_float(uint32_t bits) const { return std::bit_cast<float>(bits); }
  uint32_t bits(float value) const { return std::bit_cast<uint32_t>(value); }
  Float4 fp8_to_float(uint32_t four) const {
    const auto number = [&](int i) { return engine::cpu::e4m3_to_float(static_cast<uint8_t>(four >> (8 * i))); };
    return {number(0), number(1), number(2), number(3)};
  }
  float to_float(Half value) const { return engine::cpu::half_to_float(value.bits); }
  float to_float(Bfloat value) const { return std::bit_cast<float>(static_cast<uint32_t>(value.bits) << 16); }
  Half to_half(float value) const { return {engine::cpu::float_to_half(std::fmin(std::fmax(value, -65504.0f), 65504.0f))}; }
  float exp(float x) const { return std::exp(x); }
  float rsqrt(float x) const { return 1.0f / std::sqrt(x); }
  float fma(float a, float b, float c) const { return std::fma(a, b, c); }
  float times(float a, float b) const { return a * b; }
  int round(float x) const { return static_cast<int>(std::nearbyint(x)); }

  uint32_t pack(float a, float b) const { return to_half(a).bits | static_cast<uint32_t>(to_half(b).bits) << 16; }
  template <typename T>
  Word4 matrices(Shared<T> row) { return exchange_matrices(row.template as<Word4>().get(0), false); }
  template <typename T>
  Word4 matrices_transposed(Shared<T> row) { return exchange_matrices(row.template as<Word4>().get(0), true); }

  void mma_f16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]);
  void mma_s8(int (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]);

  void fence_tiles() { block_.fence(thread_); }
  template <int N, typename T>
  void multiply_tiles(float (&)[64], Shared<T> a, Shared<T> b) {
    static_assert(N == 64 || N == 128);
    if (a.at_ % kTileAlignment != 0 || b.at_ % kTileAlignment != 0) fault("a tile that is not aligned to 1024 bytes");
    if (static_cast<size_t>(a.n_) * sizeof(T) < kTileBytes || static_cast<size_t>(b.n_) * sizeof(T) < N * kTileDepth * 2) fault("a tile outside its view");
    if (tiles_.columns != 0) fault("a product of tiles while another goes on");
    block_.begin_tiles(thread_, tiles_ = {a.at_, b.at_, N});
  }
  void wait_tiles(float (&d)[64]) {
    if (tiles_.columns != 0) block_.finish_tiles(thread_, tiles_, d);
    tiles_ = {};
  }
  // At the thread's end.
  void end() {
    if (tiles_.columns != 0) fault("ends before its product of tiles");
  }

  [[noreturn]] void fault(const std::string& what) { block_.fault(thread_, what); }

 private:
  Word4 exchange_matrices(Word4 row, bool transposed);

  template <typename T>
  static T take(const std::byte* slots, int lane) {
    static_assert(sizeof(T) <= EmulatedBlock::kSlot);
    T value;
    std::memcpy(&value, slots + static_cast<size_t>(lane) * EmulatedBlock::kSlot, sizeof(T));
    return value;
  }

  EmulatedBlock& block_;
  int thread_;
  size_t used_ = 0;
  std::vector<std::pair<size_t, Word4>> copies_;   // on their way
  EmulatedBlock::Tiles tiles_;                     // being multiplied
};

class Emulator final : public Device {
 public:
  // What a launch runs: kernels of the list by their number, and those that a test brings.
  struct Kernel {
    std::string name;
    size_t argument_bytes = 0;
    void (*run)(EmulatedMachine& machine, const void* arguments) = nullptr;
  };
  template <typename K>
  static Kernel kernel(std::string name) {
    return {std::move(name), sizeof(typename K::Arguments), [](EmulatedMachine& machine, const void* arguments) {
              K::run(machine, *static_cast<const typename K::Arguments*>(arguments));
            }};
  }

  explicit Emulator(std::vector<Kernel> kernels, size_t memory_bytes = size_t{1} << 32);
  ~Emulator() override;

  const DeviceInfo& info() const override { return info_; }
  size_t free_bytes() const override { return info_.memory_bytes - used_; }
  Result<void*> allocate(size_t bytes) override;
  void release(void* memory) noexcept override;
  Status upload(void* to, const void* from, size_t bytes) override;
  Status copy(void* to, const void* from, size_t bytes) override;
  Status clear(void* memory, size_t bytes) override;
  Status receive(void* to, Device& from, const void* there, size_t bytes) override;
  Status download(void* to, const void* from, size_t bytes) override;
  Status synchronize() override { return fault_; }
  Status launch(const Launch& launch) override;
  Status begin_recording() override;
  Result<Graph*> end_recording() override;
  Status replay(Graph& graph) override;
  void discard(Graph* graph) noexcept override;

  // Whether it multiplies tiles as machine.h says; at first it does not.
  void set_warpgroups(bool has, std::string why_not = "") { info_.warpgroups = has, info_.no_warpgroups = std::move(why_not); }

  size_t recordings() const { return recordings_; }
  size_t launches() const { return launches_; }
  size_t kernel_launches() const {   // what is copied does not count
    return std::accumulate(launches_of_.begin(), launches_of_.end(), size_t{0});
  }
  size_t launches_of(int kernel) const { return launches_of_[static_cast<size_t>(kernel)]; }
  uint64_t bytes_downloaded() const { return bytes_downloaded_; }
  uint64_t bytes_loaded() const { return bytes_loaded_; }   // by kernels, of device memory

 private:
  friend class EmulatedBlock;
  struct Buffer {
    size_t bytes = 0;
    Shadow shadow;
  };
  struct Place {
    Buffer* buffer = nullptr;
    size_t at = 0;
  };
  // The buffer that holds p, or nullptr.
  Place find(const void* p);
  Status run(const Launch& launch);

  DeviceInfo info_;
  std::vector<Kernel> kernels_;
  std::map<const std::byte*, Buffer> buffers_;
  std::map<const std::byte*, Buffer>::iterator last_ = buffers_.end();
  size_t used_ = 0, launches_ = 0, recordings_ = 0;
  std::vector<size_t> launches_of_;   // [kernels]
  // Of the launch that runs: the blocks that came to a counter, and their epoch then.
  std::map<const uint32_t*, std::map<uint32_t, uint32_t>> arrived_;
  uint64_t bytes_loaded_ = 0, bytes_downloaded_ = 0;
  Status fault_;
  struct Recording;
  std::unique_ptr<Recording> recording_;
};

}  // namespace wenqu::test
