#include "tests/engine/cuda/emulator.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <new>

namespace wenqu::test {
namespace {

constexpr size_t kStackBytes = 64 << 10;

// Stacks are used again and again: a launch makes thousands of threads.
class StackPool {
 public:
  boost::context::stack_context allocate() {
    if (free_.empty()) {
      boost::context::stack_context stack;
      stack.size = kStackBytes;
      stack.sp = static_cast<char*>(std::aligned_alloc(64, kStackBytes)) + kStackBytes;
      return stack;
    }
    const boost::context::stack_context stack = free_.back();
    free_.pop_back();
    return stack;
  }
  void deallocate(boost::context::stack_context& stack) noexcept { free_.push_back(stack); }
  ~StackPool() {
    for (const boost::context::stack_context& stack : free_) std::free(static_cast<char*>(stack.sp) - stack.size);
  }

 private:
  std::vector<boost::context::stack_context> free_;
};

StackPool& stack_pool() {
  thread_local StackPool pool;
  return pool;
}

struct PooledStack {
  boost::context::stack_context allocate() { return stack_pool().allocate(); }
  void deallocate(boost::context::stack_context& stack) noexcept { stack_pool().deallocate(stack); }
};

}  // namespace

void Shadow::resize(size_t bytes, bool tell_readers) {
  written.assign(bytes, 0);
  writer.clear(), reader.clear(), several_readers.clear();
  if (tell_readers) writer.resize(bytes), reader.resize(bytes), several_readers.resize(bytes);
}

EmulatedBlock::EmulatedBlock(Emulator& device, const Launch& launch)
    : device_(device), launch_(launch), threads_(launch.threads), warps_(launch.threads / kWarp),
      warpgroups_(launch.threads / kWarpgroup), shared_(launch.shared_bytes) {}

Touch EmulatedBlock::touch(int thread) const {
  return {static_cast<uint32_t>(device_.launches_), number_, static_cast<uint16_t>(thread), warps_[static_cast<size_t>(thread / kWarp)].epoch, epoch_};
}

// Whether a barrier, or the end of a launch, stands between the two.
bool EmulatedBlock::apart(const Touch& before, const Touch& now) const {
  if (before.launch != now.launch) return true;
  if (before.block != now.block) {
    if (!counter_) return false;
    const auto& arrived = device_.arrived_.at(counter_);
    const auto other = arrived.find(before.block);
    return other != arrived.end() && before.block_epoch < other->second;
  }
  if (before.thread == now.thread || before.block_epoch != now.block_epoch) return true;
  return before.thread / kWarp == now.thread / kWarp && before.warp_epoch != now.warp_epoch;
}

void EmulatedBlock::check_read(Shadow& shadow, size_t at, size_t bytes, int thread, const char* where, bool tell_readers) {
  const Touch now = touch(thread);
  for (size_t i = at; i < at + bytes; ++i) {
    if (!shadow.written[i]) fault(thread, fmt::format("reads byte {} of {}, which nobody has written", i, where));
    if (shadow.written[i] == Shadow::kOnItsWay) fault(thread, fmt::format("reads byte {} of {}, which is still being copied", i, where));
    if (shadow.writer.empty()) continue;
    if (!apart(shadow.writer[i], now))
      fault(thread, fmt::format("reads byte {} of {}, which thread {} of block {} wrote, with no barrier between", i, where,
                                shadow.writer[i].thread, shadow.writer[i].block));
    if (!tell_readers) continue;
    Touch& reader = shadow.reader[i];
    if (reader.launch != now.launch || reader.block != now.block || reader.block_epoch != now.block_epoch) {
      reader = now;
      shadow.several_readers[i] = 0;
    } else if (reader.thread / kWarp != now.thread / kWarp || (reader.thread != now.thread && reader.warp_epoch == now.warp_epoch)) {
      shadow.several_readers[i] = 1;
      reader = now;
    } else {
      reader = now;
    }
  }
}

void EmulatedBlock::check_write(Shadow& shadow, size_t at, size_t bytes, int thread, const char* where, bool tell_readers) {
  const Touch now = touch(thread);
  if (shadow.writer.empty()) shadow.writer.resize(shadow.written.size());
  for (size_t i = at; i < at + bytes; ++i) {
    if (shadow.written[i] && !apart(shadow.writer[i], now))
      fault(thread, fmt::format("writes byte {} of {}, which thread {} of block {} wrote, with no barrier between", i, where,
                                shadow.writer[i].thread, shadow.writer[i].block));
    if (tell_readers) {
      const Touch& reader = shadow.reader[i];
      const bool now_too = reader.launch == now.launch && reader.block == now.block && reader.block_epoch == now.block_epoch;
      if (now_too && (shadow.several_readers[i] || !apart(reader, now)))
        fault(thread, fmt::format("writes byte {} of {}, which thread {} read, with no barrier between", i, where, reader.thread));
    }
    shadow.written[i] = 1;
    shadow.writer[i] = now;
  }
}

const std::byte* EmulatedBlock::read_shared(int thread, size_t at, size_t bytes) {
  check_read(shared_shadow_, at, bytes, thread, "shared memory", true);
  return shared_.data() + at;
}

std::byte* EmulatedBlock::write_shared(int thread, size_t at, size_t bytes) {
  check_write(shared_shadow_, at, bytes, thread, "shared memory", true);
  std::fill_n(fences_before_.begin() + static_cast<ptrdiff_t>(at), bytes, fences_[static_cast<size_t>(thread)]);
  return shared_.data() + at;
}

void EmulatedBlock::begin_copy(int thread, size_t at, size_t bytes) {
  check_write(shared_shadow_, at, bytes, thread, "shared memory", true);
  std::fill_n(shared_shadow_.written.begin() + static_cast<ptrdiff_t>(at), bytes, Shadow::kOnItsWay);
}

void EmulatedBlock::read(int thread, const void* p, size_t bytes, size_t alignment) {
  const Emulator::Place place = device_.find(p);
  if (!place.buffer) fault(thread, fmt::format("reads {} bytes outside what was allocated", bytes));
  if (place.at + bytes > place.buffer->bytes)
    fault(thread, fmt::format("reads {} bytes at {} of a buffer of {}", bytes, place.at, place.buffer->bytes));
  if (place.at % alignment != 0) fault(thread, fmt::format("reads {} bytes at {}, which is not aligned to {}", bytes, place.at, alignment));
  check_read(place.buffer->shadow, place.at, bytes, thread, "a buffer", false);
  device_.bytes_loaded_ += bytes;
}

void EmulatedBlock::write(int thread, void* p, size_t bytes, size_t alignment) {
  const Emulator::Place place = device_.find(p);
  if (!place.buffer) fault(thread, fmt::format("writes {} bytes outside what was allocated", bytes));
  if (place.at + bytes > place.buffer->bytes)
    fault(thread, fmt::format("writes {} bytes at {} of a buffer of {}", bytes, place.at, place.buffer->bytes));
  if (place.at % alignment != 0) fault(thread, fmt::format("writes {} bytes at {}, which is not aligned to {}", bytes, place.at, alignment));
  check_write(place.buffer->shadow, place.at, bytes, thread, "a buffer", false);
}

void EmulatedBlock::fault(int thread, const std::string& what) {
  if (!broken_) {
    broken_ = true;
    const Emulator::Kernel& kernel = device_.kernels_[static_cast<size_t>(launch_.kernel)];
    device_.fault_ = Status(StatusCode::internal, fmt::format("{}, block ({}, {}, {}), thread {}: {}", kernel.name, place_.x, place_.y,
                                                              place_.z, thread, what));
  }
  throw Broken();
}

void EmulatedBlock::pause(int thread, const char* what) {
  if (broken_) throw Broken();
  Thread& me = threads_[static_cast<size_t>(thread)];
  me.waits = what;
  me.scheduler = std::move(me.scheduler).resume();
  if (broken_) throw Broken();
}

void EmulatedBlock::barrier(int thread) {
  if (++at_barrier_ == static_cast<int>(threads_.size())) {
    at_barrier_ = 0;
    ++epoch_;
    for (Thread& other : threads_)
      if (other.waits && std::string_view(other.waits) == "barrier") other.waits = nullptr;
    return;
  }
  pause(thread, "barrier");
}

bool EmulatedBlock::last(int thread, uint32_t* counter, int blocks) {
  barrier(thread);
  if (thread == 0) {
    const Emulator::Place place = device_.find(counter);
    if (!place.buffer || place.at % sizeof *counter != 0 || place.at + sizeof *counter > place.buffer->bytes || !place.buffer->shadow.written[place.at])
      fault(thread, "counts blocks where nobody has put a zero");
    if (!device_.arrived_[counter].emplace(number_, epoch_).second) fault(thread, "counts its block twice");
    last_ = static_cast<int>(++*counter) == blocks;
    if (last_) *counter = 0, counter_ = counter;
  }
  barrier(thread);
  return last_;
}

void EmulatedBlock::warp_barrier(int thread) { exchange(thread, "warp barrier", nullptr, 0); }

const std::byte* EmulatedBlock::exchange(int thread, const char* what, const void* value, size_t bytes) {
  Warp& warp = warps_[static_cast<size_t>(thread / kWarp)];
  if (warp.arrived == 0) warp.what = what;
  if (std::string_view(warp.what) != what)
    fault(thread, fmt::format("reaches a {} while other lanes of its warp are at a {}", what, warp.what));
  std::byte* const slots = warp.slots[warp.generation % 2];
  if (bytes > 0) std::memcpy(slots + static_cast<size_t>(thread % kWarp) * kSlot, value, bytes);
  if (++warp.arrived == kWarp) {
    warp.arrived = 0;
    ++warp.generation;
    if (std::string_view(what) == "warp barrier") ++warp.epoch;
    for (int lane = 0; lane < kWarp; ++lane) threads_[static_cast<size_t>(thread / kWarp * kWarp + lane)].waits = nullptr;
  } else {
    pause(thread, what);
  }
  return slots;
}

EmulatedBlock::Warpgroup& EmulatedBlock::meet(int thread, const char* what, const Tiles& tiles) {
  const size_t first = static_cast<size_t>(thread / kWarpgroup) * kWarpgroup;
  if (first + kWarpgroup > threads_.size()) fault(thread, fmt::format("is at a {}, and not of a whole warpgroup", what));
  Warpgroup& group = warpgroups_[static_cast<size_t>(thread / kWarpgroup)];
  if (group.arrived == 0) group.what = what, group.tiles = tiles;
  if (std::string_view(group.what) != what) fault(thread, fmt::format("reaches a {} while others of its warpgroup are at a {}", what, group.what));
  if (group.tiles.a != tiles.a || group.tiles.b != tiles.b || group.tiles.columns != tiles.columns)
    fault(thread, fmt::format("reaches a {} of other tiles than others of its warpgroup", what));
  if (++group.arrived == kWarpgroup) {
    group.arrived = 0;
    group.multiplied = false;
    for (size_t t = first; t < first + kWarpgroup; ++t) threads_[t].waits = nullptr;
  } else {
    pause(thread, what);
  }
  return group;
}

// Each thread answers for a part of the tiles, and nobody may write to it.
void EmulatedBlock::read_tiles(int thread, const Tiles& tiles) {
  const size_t member = static_cast<size_t>(thread % kWarpgroup);
  for (const auto& [at, rows] : {std::pair(tiles.a, 64), std::pair(tiles.b, tiles.columns)}) {
    const size_t bytes = static_cast<size_t>(rows) * kTileDepth * 2 / kWarpgroup, begin = at + member * bytes;
    check_read(shared_shadow_, begin, bytes, thread, "shared memory", true);
    for (size_t i = begin; i < begin + bytes; ++i) {
      const Touch& writer = shared_shadow_.writer[i];
      if (fences_before_[i] == fences_[writer.thread]) fault(thread, fmt::format("multiplies byte {} of shared memory, which thread {} wrote with no fence after it", i, writer.thread));
      shared_shadow_.several_readers[i] = 1;
    }
  }
}

void EmulatedBlock::begin_tiles(int thread, const Tiles& tiles) {
  meet(thread, "product of tiles", tiles);
  read_tiles(thread, tiles);
}

float EmulatedBlock::half_of_tile(size_t tile, int row, int column) const {
  uint16_t half;
  std::memcpy(&half, shared_.data() + tile + static_cast<size_t>(word_of_tile(row, column / 8)) * 16 + static_cast<size_t>(column % 8) * sizeof half, sizeof half);
  return engine::cpu::half_to_float(half);
}

void EmulatedBlock::finish_tiles(int thread, const Tiles& tiles, float (&d)[64]) {
  Warpgroup& group = meet(thread, "wait for tiles", tiles);
  read_tiles(thread, tiles);   // until now
  const int columns = tiles.columns;
  if (!group.multiplied) {
    group.multiplied = true;
    std::vector<float> a(static_cast<size_t>(64 * kTileDepth)), b(static_cast<size_t>(columns * kTileDepth));
    for (int r = 0; r < 64; ++r)
      for (int k = 0; k < kTileDepth; ++k) a[static_cast<size_t>(r * kTileDepth + k)] = half_of_tile(tiles.a, r, k);
    for (int r = 0; r < columns; ++r)
      for (int k = 0; k < kTileDepth; ++k) b[static_cast<size_t>(r * kTileDepth + k)] = half_of_tile(tiles.b, r, k);
    group.product.assign(static_cast<size_t>(64 * columns), 0.0f);
    for (int r = 0; r < 64; ++r)
      for (int c = 0; c < columns; ++c)
        group.product[static_cast<size_t>(r * columns + c)] =
            std::inner_product(a.begin() + r * kTileDepth, a.begin() + (r + 1) * kTileDepth, b.begin() + c * kTileDepth, 0.0f);
  }
  const int lane = thread % kWarp, warp = thread % kWarpgroup / kWarp;
  for (int i = 0; i < columns / 2; ++i) {
    const int row = warp * 16 + lane / 4 + i / 2 % 2 * 8, column = i / 4 * 8 + lane % 4 * 2 + i % 2;
    d[i] += group.product[static_cast<size_t>(row * columns + column)];
  }
}

void EmulatedBlock::start(int thread, const Body& body) {
  Thread& me = threads_[static_cast<size_t>(thread)];
  me.done = false;
  me.waits = nullptr;
  me.fiber = boost::context::fiber(std::allocator_arg, PooledStack(), [this, thread, &body](boost::context::fiber&& scheduler) {
    Thread& mine = threads_[static_cast<size_t>(thread)];
    mine.scheduler = std::move(scheduler);
    try {
      body(*this, thread);
    } catch (const Broken&) {
    }
    mine.done = true;
    return std::move(mine.scheduler);
  });
}

bool EmulatedBlock::run(const Body& body, Grid place, uint32_t number) {
  place_ = place;
  number_ = number;
  epoch_ = 0;
  at_barrier_ = 0;
  counter_ = nullptr, last_ = false;
  shared_shadow_.resize(shared_.size(), true);
  for (Warp& warp : warps_) warp = Warp();
  for (Warpgroup& group : warpgroups_) group = Warpgroup();
  fences_.assign(threads_.size(), 0);
  fences_before_.assign(shared_.size(), 0);
  for (size_t t = 0; t < threads_.size(); ++t) start(static_cast<int>(t), body);
  size_t left = threads_.size();
  while (left > 0) {
    bool moved = false;
    for (size_t t = 0; t < threads_.size(); ++t) {
      Thread& thread = threads_[t];
      if (thread.done || (thread.waits && !broken_)) continue;
      moved = true;
      thread.fiber = std::move(thread.fiber).resume();
      if (thread.done) --left;
    }
    if (!moved) {   // everyone left waits for somebody who has ended
      const auto waiting = std::find_if(threads_.begin(), threads_.end(), [](const Thread& thread) { return !thread.done; });
      const int t = static_cast<int>(waiting - threads_.begin());
      try {
        fault(t, fmt::format("waits at a {} that {} threads of the block never reach", waiting->waits, threads_.size() - left));
      } catch (const Broken&) {
      }
    }
  }
  return !broken_;
}

Word4 EmulatedMachine::exchange_matrices(Word4 row, bool transposed) {
  const std::byte* const all = block_.exchange(thread_, transposed ? "load of transposed matrices" : "load of matrices", &row, sizeof row);
  uint32_t out[4] = {};
  const int g = lane() / 4, t = lane() % 4;
  for (int i = 0; i < 4; ++i)
    for (int k = 0; k < 2; ++k) {
      const int r = transposed ? 2 * t + k : g, c = transposed ? g : 2 * t + k;
      uint16_t half;
      std::memcpy(&half, all + static_cast<size_t>(8 * i + r) * EmulatedBlock::kSlot + static_cast<size_t>(c) * sizeof half, sizeof half);
      out[i] |= static_cast<uint32_t>(half) << (16 * k);
    }
  return {out[0], out[1], out[2], out[3]};
}

void EmulatedMachine::mma_f16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  // Everybody's halves as floats, so that each is converted once.
  struct Given {
    float a[4][2], b[2][2];
  } mine;
  static_assert(sizeof(Given) <= EmulatedBlock::kSlot);
  const auto half = [](uint32_t pair, int i) { return engine::cpu::half_to_float(static_cast<uint16_t>(pair >> (16 * i))); };
  for (int k = 0; k < 2; ++k) {
    for (int i = 0; i < 4; ++i) mine.a[i][k] = half(a[i], k);
    for (int i = 0; i < 2; ++i) mine.b[i][k] = half(b[i], k);
  }
  const std::byte* const all = block_.exchange(thread_, "product of halves", &mine, sizeof mine);
  const int g = lane() / 4, t = lane() % 4;
  for (int i = 0; i < 4; ++i) {
    const int row = g + i / 2 * 8, column = 2 * t + i % 2;
    float sum = 0;
    for (int quad = 0; quad < 4; ++quad) {   // the lanes that have the row, and the column
      const Given left = take<Given>(all, row % 8 * 4 + quad), right = take<Given>(all, column * 4 + quad);
      for (int high = 0; high < 2; ++high)
        for (int k = 0; k < 2; ++k) sum += left.a[row / 8 + high * 2][k] * right.b[high][k];
    }
    d[i] += sum;
  }
}

void EmulatedMachine::mma_s8(int (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  struct Given {
    uint32_t a[4], b[2];
  } mine = {{a[0], a[1], a[2], a[3]}, {b[0], b[1]}};
  const std::byte* const all = block_.exchange(thread_, "product of bytes", &mine, sizeof mine);
  const int g = lane() / 4, t = lane() % 4;
  for (int i = 0; i < 4; ++i) {
    const int row = g + i / 2 * 8, column = 2 * t + i % 2;
    for (int k = 0; k < 8; ++k) {   // four bytes each
      const Given left = take<Given>(all, row % 8 * 4 + k % 4), right = take<Given>(all, column * 4 + k % 4);
      d[i] = dot4(left.a[row / 8 + k / 4 * 2], right.b[k / 4], d[i]);
    }
  }
}

// What is recorded keeps its arguments.
struct Emulator::Recording final : Device::Graph {
  struct Step {
    Launch launch;
    std::vector<std::byte> arguments;
    void* to = nullptr;   // a copy, where it is none
    const void* from = nullptr;
    size_t bytes = 0;
  };
  std::vector<Step> steps;
};

Emulator::Emulator(std::vector<Kernel> kernels, size_t memory_bytes) : kernels_(std::move(kernels)) {
  launches_of_.resize(kernels_.size());
  info_ = {"emulated device", 90, 1, memory_bytes, 227 << 10};
}

Emulator::~Emulator() {
  for (const auto& [memory, buffer] : buffers_) std::free(const_cast<std::byte*>(memory));
}

Result<void*> Emulator::allocate(size_t bytes) {
  if (bytes > info_.memory_bytes - used_)
    return Status(StatusCode::out_of_memory, fmt::format("the device has {} bytes left, {} are needed", info_.memory_bytes - used_, bytes));
  void* const memory = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
  if (!memory) return Status(StatusCode::out_of_memory, "no memory for the emulated device");
  Buffer& buffer = buffers_[static_cast<std::byte*>(memory)];
  buffer.bytes = bytes;
  buffer.shadow.resize(bytes, false);
  used_ += bytes;
  return memory;
}

void Emulator::release(void* memory) noexcept {
  const auto it = buffers_.find(static_cast<std::byte*>(memory));
  if (it == buffers_.end()) return;
  used_ -= it->second.bytes;
  buffers_.erase(it);
  last_ = buffers_.end();
  std::free(memory);
}

Emulator::Place Emulator::find(const void* p) {
  const std::byte* const at = static_cast<const std::byte*>(p);
  const auto holds = [&](const auto& it) { return it != buffers_.end() && at >= it->first && at < it->first + it->second.bytes; };
  if (!holds(last_)) {
    last_ = buffers_.upper_bound(at);
    if (last_ == buffers_.begin()) return last_ = buffers_.end(), Place();
    --last_;
    if (!holds(last_)) return {};
  }
  return {&last_->second, static_cast<size_t>(at - last_->first)};
}

Status Emulator::upload(void* to, const void* from, size_t bytes) {
  const Place place = find(to);
  if (!place.buffer || place.at + bytes > place.buffer->bytes) return Status(StatusCode::internal, "an upload outside what was allocated");
  std::memcpy(to, from, bytes);
  std::fill_n(place.buffer->shadow.written.begin() + static_cast<ptrdiff_t>(place.at), bytes, uint8_t{1});
  ++launches_;
  return fault_;
}

Status Emulator::clear(void* memory, size_t bytes) {
  const std::vector<std::byte> zeros(bytes);
  return upload(memory, zeros.data(), bytes);
}

Status Emulator::receive(void* to, Device& from, const void* there, size_t bytes) {
  Emulator* const other = dynamic_cast<Emulator*>(&from);
  if (!other) return Status(StatusCode::internal, "a copy from another kind of device");
  if (recording_ || other->recording_) return Status(StatusCode::internal, "a copy between devices within a recording");
  const Place target = find(to), source = other->find(there);
  if (!target.buffer || target.at + bytes > target.buffer->bytes || !source.buffer || source.at + bytes > source.buffer->bytes)
    return Status(StatusCode::internal, "a copy outside what was allocated");
  std::memcpy(to, there, bytes);
  std::copy_n(source.buffer->shadow.written.begin() + static_cast<ptrdiff_t>(source.at), bytes,
              target.buffer->shadow.written.begin() + static_cast<ptrdiff_t>(target.at));
  ++launches_;
  return other->fault_ ? fault_ : other->fault_;
}

Status Emulator::copy(void* to, const void* from, size_t bytes) {
  if (recording_) {
    recording_->steps.push_back({{}, {}, to, from, bytes});
    return fault_;
  }
  const Place target = find(to), source = find(from);
  if (!target.buffer || target.at + bytes > target.buffer->bytes || !source.buffer || source.at + bytes > source.buffer->bytes)
    return Status(StatusCode::internal, "a copy outside what was allocated");
  std::memmove(to, from, bytes);
  std::copy_n(source.buffer->shadow.written.begin() + static_cast<ptrdiff_t>(source.at), bytes,
              target.buffer->shadow.written.begin() + static_cast<ptrdiff_t>(target.at));
  ++launches_;
  return fault_;
}

Status Emulator::download(void* to, const void* from, size_t bytes) {
  const Place place = find(from);
  if (!place.buffer || place.at + bytes > place.buffer->bytes) return Status(StatusCode::internal, "a download outside what was allocated");
  for (size_t i = place.at; i < place.at + bytes; ++i)
    if (!place.buffer->shadow.written[i]) return Status(StatusCode::internal, "a download of what nobody has written");
  std::memcpy(to, from, bytes);
  bytes_downloaded_ += bytes;
  return fault_;
}

Status Emulator::launch(const Launch& launch) {
  if (launch.kernel < 0 || static_cast<size_t>(launch.kernel) >= kernels_.size()) return Status(StatusCode::internal, "there is no such kernel");
  const Kernel& kernel = kernels_[static_cast<size_t>(launch.kernel)];
  if (launch.argument_bytes != kernel.argument_bytes) return Status(StatusCode::internal, "arguments of another kernel", kernel.name);
  if (launch.threads == 0 || launch.threads % kWarp != 0 || launch.threads > 1024)
    return Status(StatusCode::internal, fmt::format("a block of {} threads", launch.threads), kernel.name);
  if (launch.grid.x == 0 || launch.grid.y == 0 || launch.grid.z == 0 || launch.grid.y > 65535 || launch.grid.z > 65535)
    return Status(StatusCode::internal, fmt::format("a grid of {} x {} x {} blocks", launch.grid.x, launch.grid.y, launch.grid.z), kernel.name);
  if (launch.shared_bytes > info_.shared_bytes)
    return Status(StatusCode::internal, fmt::format("{} bytes of shared memory", launch.shared_bytes), kernel.name);
  if (recording_) {
    const auto* const bytes = static_cast<const std::byte*>(launch.arguments);
    recording_->steps.push_back({launch, {bytes, bytes + launch.argument_bytes}});
    return fault_;
  }
  return run(launch);
}

Status Emulator::run(const Launch& launch) {
  if (!fault_) return fault_;
  ++launches_;
  ++launches_of_[static_cast<size_t>(launch.kernel)];
  const Kernel& kernel = kernels_[static_cast<size_t>(launch.kernel)];
  arrived_.clear();
  EmulatedBlock block(*this, launch);
  const EmulatedBlock::Body body = [&](EmulatedBlock& mine, int thread) {
    EmulatedMachine machine(mine, thread);
    kernel.run(machine, launch.arguments);
    machine.end();
  };
  uint32_t number = 0;
  for (unsigned z = 0; z < launch.grid.z; ++z)
    for (unsigned y = 0; y < launch.grid.y; ++y)
      for (unsigned x = 0; x < launch.grid.x; ++x)
        if (!block.run(body, {x, y, z}, number++)) return fault_;
  return {};
}

Status Emulator::begin_recording() {
  if (recording_) return Status(StatusCode::internal, "a recording within a recording");
  recording_ = std::make_unique<Recording>();
  ++recordings_;
  return {};
}

Result<Device::Graph*> Emulator::end_recording() {
  if (!recording_) return Status(StatusCode::internal, "nothing is recorded");
  return static_cast<Graph*>(recording_.release());
}

Status Emulator::replay(Graph& graph) {
  for (const Recording::Step& step : static_cast<Recording&>(graph).steps) {
    if (step.to) {
      if (Status status = copy(step.to, step.from, step.bytes); !status) return status;
      continue;
    }
    Launch launch = step.launch;
    launch.arguments = step.arguments.data();
    if (Status status = run(launch); !status) return status;
  }
  return fault_;
}

void Emulator::discard(Graph* graph) noexcept { delete graph; }

}  // namespace wenqu::test
