// Measures a segment of vectors: vectors_bench [VECTORS] [DIMENSIONS]. Prints the CPU time to build its graph, its bytes,
// the mean time of a search with the graph and without, and how many of the true ten nearest the graph finds.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <ctime>
#include <random>

#include "retrieval/vectors/dot.h"
#include "retrieval/vectors/segment.h"

using namespace wenqu::retrieval;

namespace {

double cpu_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

// Vectors of length 1 around middles that are as many as texts have subjects.
std::vector<std::vector<float>> draw(size_t count, size_t dimensions, uint32_t seed) {
  std::mt19937 middles_random(7), random(seed);
  std::normal_distribution<float> normal;
  std::vector<std::vector<float>> middles(1000, std::vector<float>(dimensions)), vectors;
  for (auto& middle : middles)
    for (float& value : middle) value = normal(middles_random);
  for (size_t i = 0; i < count; ++i) {
    std::vector<float> vector = middles[random() % middles.size()];
    double squares = 0;
    for (float& value : vector) value += normal(random), squares += static_cast<double>(value) * static_cast<double>(value);
    for (float& value : vector) value /= static_cast<float>(std::sqrt(squares));
    vectors.push_back(std::move(vector));
  }
  return vectors;
}

}  // namespace

int main(int argc, char** argv) {
  const size_t count = argc > 1 ? std::stoul(argv[1]) : 20'000, dimensions = argc > 2 ? std::stoul(argv[2]) : 384;
  const auto vectors = draw(count, dimensions, 1), probes = draw(100, dimensions, 2);
  std::vector<VectorSegment::Document> documents;
  std::vector<VectorSegment::Entry> entries;
  for (size_t i = 0; i < count; ++i) {
    const std::string number = std::to_string(i);
    documents.push_back({std::string(9 - number.size(), '0') + number, static_cast<uint32_t>(i)});
    entries.push_back({vector_key(number), vectors[i].data()});
  }
  double begun = cpu_seconds();
  const auto segment = VectorSegment::build(dimensions, documents, entries);
  if (!segment) return 1;
  fmt::print("{} vectors of {}: built in {:.1f} s of CPU\n", count, dimensions, cpu_seconds() - begun);
  const std::string bytes = (*segment)->encode();
  begun = cpu_seconds();
  if (!VectorSegment::decode(bytes)) return 1;
  fmt::print("{:.1f} MB, {:.0f} bytes a vector beside its numbers; read in {:.2f} s\n", static_cast<double>(bytes.size()) / 1e6,
             static_cast<double>(bytes.size()) / static_cast<double>(count) - 4.0 * static_cast<double>(dimensions), cpu_seconds() - begun);
  for (const size_t wanted : {10u, 100u}) {
    double graph = 0, exact = 0;
    size_t found = 0;
    for (const auto& probe : probes) {
      begun = cpu_seconds();
      const auto near = (*segment)->nearest(probe.data(), wanted, [](uint32_t) { return true; });
      graph += cpu_seconds() - begun;
      begun = cpu_seconds();
      std::vector<std::pair<float, uint32_t>> all;
      const DotFunction dot = dot_function();
      for (uint32_t i = 0; i < count; ++i) all.emplace_back(-dot(probe.data(), vectors[i].data(), dimensions), i);
      std::partial_sort(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(wanted), all.end());
      exact += cpu_seconds() - begun;
      for (size_t i = 0; i < wanted; ++i)
        found += std::any_of(near->begin(), near->end(), [&](const Graph::Near& one) { return one.index == all[i].second; });
    }
    const double searches = static_cast<double>(probes.size());
    fmt::print("nearest {}: {:.3f} ms by the graph, {:.3f} ms by all, recall {:.3f}\n", wanted, graph * 1e3 / searches, exact * 1e3 / searches,
               static_cast<double>(found) / (searches * static_cast<double>(wanted)));
  }
  return 0;
}
