// What a loop costs besides its work, by threads and pieces: right behind another loop, as in a forward pass, and
// after a pause in which the threads have gone to sleep.
#include <benchmark/benchmark.h>

#include <chrono>
#include <thread>

#include "engine/cpu/thread_pool.h"

namespace wenqu::engine::cpu {
namespace {

void empty_loop(benchmark::State& state) {
  ThreadPool pool(static_cast<int>(state.range(0)));
  const auto pieces = static_cast<size_t>(state.range(1));
  for (auto _ : state) pool.run(pieces, 1, [](size_t begin, size_t) { benchmark::DoNotOptimize(begin); });
}

void empty_loop_after_a_pause(benchmark::State& state) {
  ThreadPool pool(static_cast<int>(state.range(0)));
  const auto pieces = static_cast<size_t>(state.range(1));
  for (auto _ : state) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    const auto begun = std::chrono::steady_clock::now();
    pool.run(pieces, 1, [](size_t begin, size_t) { benchmark::DoNotOptimize(begin); });
    state.SetIterationTime(std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count());
  }
}

BENCHMARK(empty_loop)->ArgNames({"threads", "pieces"})->ArgsProduct({{1, 2, 4}, {2, 64}})->UseRealTime();
BENCHMARK(empty_loop_after_a_pause)
    ->ArgNames({"threads", "pieces"})
    ->ArgsProduct({{2, 4}, {2, 64}})
    ->UseManualTime()
    ->Iterations(300);

}  // namespace
}  // namespace wenqu::engine::cpu
