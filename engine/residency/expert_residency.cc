#include "engine/residency/expert_residency.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <system_error>

#include "base/page_advice.h"
#include "base/thread.h"

namespace wenqu::engine {
namespace {

constexpr size_t kKinds = std::tuple_size_v<ExpertLayer>, kGate = 0, kUp = 1, kDown = 2;
constexpr double kHalfLife = 1024;   // tokens: a few pages of text
constexpr std::chrono::milliseconds kLook{10};   // how often one who waits looks at its cancellation

std::vector<uint64_t> sizes_of(std::span<const ExpertLayer> layers, size_t experts) {
  std::vector<uint64_t> sizes;
  for (const ExpertLayer& layer : layers) sizes.insert(sizes.end(), experts, layer[kGate].bytes + layer[kUp].bytes + layer[kDown].bytes);
  return sizes;
}

}  // namespace

// What is held for a batch. `missing` are read in order: gate and up of each first, then every down.
struct ExpertResidency::Lease::Job {
  ExpertResidency* owner;
  std::vector<size_t> held;      // in the order of `active`
  size_t first_missing = 0;      // of those
  std::atomic<size_t> done{0};   // matrices of the missing ones that are in memory
  std::atomic<bool> over{false}; // nobody waits any more

  size_t missing() const { return held.size() - first_missing; }
  void wait(size_t wanted, const CancelToken& cancel) {
    if (done.load(std::memory_order_acquire) >= wanted) return;
    std::unique_lock lock(owner->mutex_);
    const bool first = waiting++ == 0;
    const auto begun = std::chrono::steady_clock::now();
    while (done.load(std::memory_order_acquire) < wanted && !cancel.cancelled()) owner->read_.wait_for(lock, kLook);
    --waiting;
    if (first) owner->use_.seconds_waited += std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
  }
  size_t waiting = 0;            // threads
};

ExpertResidency::Lease::~Lease() {
  if (!job_) return;
  job_->over = true;
  const std::lock_guard lock(job_->owner->mutex_);
  for (size_t expert : job_->held) job_->owner->policy_.let_go(expert);
}

void ExpertResidency::Lease::wait_for(size_t place, const CancelToken& cancel) const {
  if (job_ && place >= job_->first_missing) job_->wait(2 * (place - job_->first_missing + 1), cancel);
}

void ExpertResidency::Lease::wait_for_all(const CancelToken& cancel) const {
  if (job_) job_->wait(kKinds * job_->missing(), cancel);
}

ExpertResidency::ExpertResidency(std::vector<ExpertLayer> layers, size_t experts, std::function<uint64_t()> limit)
    : layers_(std::move(layers)),
      experts_(experts),
      limit_(std::move(limit)),
      // Each layer of each token is a step's part.
      policy_(sizes_of(layers_, experts), kHalfLife * static_cast<double>(std::max<size_t>(layers_.size(), 1))),
      present_(layers_.size() * experts) {
  for (const ExpertLayer& layer : layers_)
    for (const ExpertStack& stack : layer) expect_no_order({stack.data, stack.bytes * experts_});
  try {
    reader_ = start_thread([this] { work(); });
  } catch (const std::system_error&) {
    // Whoever wants then reads.
  }
}

ExpertResidency::~ExpertResidency() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (reader_.joinable()) reader_.join();
}

std::span<const std::byte> ExpertResidency::matrix(size_t index, size_t kind) const {
  const ExpertStack& stack = layers_[index / experts_][kind];
  return {stack.data + index % experts_ * stack.bytes, stack.bytes};
}

// Pages that an expert shares with a neighbour in memory stay.
void ExpertResidency::drop(size_t index) {
  present_[index] = false;
  const size_t expert = index % experts_;
  for (size_t kind = 0; kind < kKinds; ++kind) {
    const std::span<const std::byte> mine = matrix(index, kind);
    const std::span<const std::byte> whole = whole_pages(mine);
    if (whole.empty()) continue;
    const bool from_first = expert > 0 && !policy_.in_memory(index - 1);
    const bool to_last = expert + 1 < experts_ && !policy_.in_memory(index + 1);
    const std::byte* begin = from_first ? mine.data() : whole.data();
    const std::byte* end = to_last ? mine.data() + mine.size() : whole.data() + whole.size();
    let_go({begin, end});
  }
}

// The system maps what lies around a page with it: of neighbours that are not in memory, that goes again.
void ExpertResidency::drop_mapped_around(size_t index, size_t kind) {
  const size_t layer = index - index % experts_, reach = kMappedAround / layers_[index / experts_][kind].bytes + 1;
  const size_t first = std::max(layer, index - std::min(index, reach)), last = std::min(layer + experts_, index + reach + 1);
  for (size_t i = first; i < last;) {
    if (policy_.in_memory(i)) {
      ++i;
      continue;
    }
    const size_t begin = i;
    while (i < last && !policy_.in_memory(i)) ++i;
    const std::byte* const data = matrix(begin, kind).data();
    let_go(whole_pages({data, (i - begin) * matrix(begin, kind).size()}));
  }
}

void ExpertResidency::make_room() {
  for (size_t index : policy_.make_room(limit_())) drop(index);
}

ExpertResidency::Lease ExpertResidency::want(size_t layer, std::vector<uint32_t>& active,
                                             std::span<const std::vector<uint32_t>> members, size_t tokens) {
  Lease lease;
  auto job = std::make_shared<Lease::Job>();
  job->owner = this;
  job->held.reserve(active.size());
  bool missed = false;
  {
    const std::lock_guard lock(mutex_);
    const auto missing = std::stable_partition(active.begin(), active.end(),
                                               [&](uint32_t expert) { return present_[index(layer, expert)] != 0; });
    job->first_missing = static_cast<size_t>(missing - active.begin());
    missed = missing != active.end();
    if (missed && reader_.joinable()) jobs_.push_back(job);
    lease.job_ = std::move(job);
    policy_.step(static_cast<double>(tokens));
    for (uint32_t expert : active) {
      const size_t i = index(layer, expert);
      lease.job_->held.push_back(i);
      policy_.hold(i);
      policy_.use(i, static_cast<double>(members[expert].size()));
    }
    use_.hits += lease.job_->first_missing;
    use_.misses += lease.job_->missing();
    for (auto expert = missing; expert != active.end(); ++expert) {
      policy_.add(index(layer, *expert));
      use_.bytes_read += policy_.bytes(index(layer, *expert));
    }
    if (missed) make_room();
  }
  if (missed && reader_.joinable()) wake_.notify_one();
  else if (missed) read(*lease.job_);
  return lease;
}

void ExpertResidency::read(Lease::Job& job) {
  struct Part {
    size_t index, kind;
  };
  const size_t missing = job.missing();
  const auto part = [&](size_t number) -> Part {
    if (number < 2 * missing) return {job.held[job.first_missing + number / 2], number % 2 ? kUp : kGate};
    return {job.held[job.first_missing + number - 2 * missing], kDown};
  };
  for (size_t i = 0; i < kKinds * missing && !job.over; ++i) ask_for(matrix(part(i).index, part(i).kind));
  for (size_t i = 0; i < kKinds * missing && !job.over; ++i) {
    const auto [index, kind] = part(i);
    bring_in(matrix(index, kind));
    const std::lock_guard lock(mutex_);
    drop_mapped_around(index, kind);
    // Unless it had to go while it came, which only a lease that is over allows.
    if (kind == kDown && policy_.in_memory(index)) present_[index] = true;
    job.done.store(i + 1, std::memory_order_release);
    read_.notify_all();
  }
}

void ExpertResidency::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [&] { return stopping_ || !jobs_.empty(); });
    if (stopping_) return;
    const std::shared_ptr<Lease::Job> job = std::move(jobs_.front());
    jobs_.pop_front();
    lock.unlock();
    read(*job);
    lock.lock();
  }
}

void ExpertResidency::trim() noexcept {
  const std::lock_guard lock(mutex_);
  try {
    make_room();
  } catch (const std::bad_alloc&) {
    // The next batch tries again.
  }
}

void ExpertResidency::forget_strays() noexcept {
  const std::lock_guard lock(mutex_);
  for (size_t i = 0; i < policy_.size(); ++i)
    if (!policy_.in_memory(i)) drop(i);
}

ExpertUse ExpertResidency::use() const {
  const std::lock_guard lock(mutex_);
  ExpertUse use = use_;
  use.bytes_in_memory = policy_.bytes_in_memory();
  return use;
}

}  // namespace wenqu::engine
