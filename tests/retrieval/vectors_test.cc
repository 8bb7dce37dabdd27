#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "retrieval/vectors/dot.h"
#include "retrieval/vectors/graph.h"
#include "retrieval/vectors/segment.h"
#include "retrieval/vectors/vector_set.h"

namespace wenqu::retrieval {
namespace {

// Vectors of length 1 around some middles, as texts of some subjects are.
std::vector<std::vector<float>> clustered_vectors(size_t count, size_t dimensions, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<std::vector<float>> middles(20, std::vector<float>(dimensions)), vectors;
  for (std::vector<float>& middle : middles)
    for (float& value : middle) value = normal(random);
  for (size_t i = 0; i < count; ++i) {
    std::vector<float> vector = middles[i % middles.size()];
    double squares = 0;
    for (float& value : vector) value += 0.7f * normal(random), squares += static_cast<double>(value) * static_cast<double>(value);
    for (float& value : vector) value /= static_cast<float>(std::sqrt(squares));
    vectors.push_back(std::move(vector));
  }
  return vectors;
}

std::vector<uint32_t> exact_nearest(const std::vector<std::vector<float>>& vectors, const std::vector<float>& query, size_t count,
                                    const std::function<bool(uint32_t)>& accept = [](uint32_t) { return true; }) {
  std::vector<std::pair<float, uint32_t>> all;
  for (uint32_t i = 0; i < vectors.size(); ++i)
    if (accept(i)) all.emplace_back(-dot_portable(vectors[i].data(), query.data(), query.size()), i);
  std::sort(all.begin(), all.end());
  std::vector<uint32_t> ids;
  for (size_t i = 0; i < std::min(count, all.size()); ++i) ids.push_back(all[i].second);
  return ids;
}

double recall(const std::vector<uint32_t>& want, const std::vector<Graph::Near>& got) {
  size_t found = 0;
  for (const uint32_t id : want) found += std::any_of(got.begin(), got.end(), [&](const Graph::Near& near) { return near.index == id; });
  return static_cast<double>(found) / static_cast<double>(want.size());
}

Result<std::shared_ptr<const VectorSegment>> make_segment(const std::vector<std::vector<float>>& vectors, size_t per_document = 3) {
  std::vector<VectorSegment::Document> documents;
  std::vector<VectorSegment::Entry> entries;
  for (size_t i = 0; i < vectors.size(); ++i) {
    const std::string number = std::to_string(i / per_document), id = "d" + std::string(6 - number.size(), '0') + number;
    if (i % per_document == 0) documents.push_back({id, static_cast<uint32_t>(i)});
    entries.push_back({vector_key(std::to_string(i)), vectors[i].data()});
  }
  return VectorSegment::build(vectors[0].size(), std::move(documents), entries);
}

TEST(Dot, IsTheSameInAllFormsUpToRounding) {
  for (const size_t n : {1u, 7u, 8u, 31u, 32u, 33u, 384u, 1000u}) {
    const auto vectors = clustered_vectors(2, n, static_cast<uint32_t>(n));
    double want = 0;
    for (size_t i = 0; i < n; ++i) want += static_cast<double>(vectors[0][i]) * static_cast<double>(vectors[1][i]);
    EXPECT_NEAR(static_cast<double>(dot_portable(vectors[0].data(), vectors[1].data(), n)), want, 1e-5);
    EXPECT_NEAR(static_cast<double>(dot_function()(vectors[0].data(), vectors[1].data(), n)), want, 1e-5);
  }
}

TEST(VectorSegment, FindsTheNearestExactlyWhereItHasFew) {
  const auto vectors = clustered_vectors(500, 48, 1);
  const auto segment = make_segment(vectors);
  ASSERT_TRUE(segment);
  for (const size_t probe : {0u, 123u, 499u}) {
    const auto near = (*segment)->nearest(vectors[probe].data(), 10, [](uint32_t) { return true; });
    ASSERT_TRUE(near);
    EXPECT_EQ(near->size(), 10u);
    EXPECT_EQ(recall(exact_nearest(vectors, vectors[probe], 10), *near), 1);
  }
}

class LargeSegment : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    vectors_ = clustered_vectors(VectorSegment::kGraphFrom + 500, 32, 2);
    segment_ = *make_segment(vectors_);
  }
  static void TearDownTestSuite() { segment_.reset(); }
  static double mean_recall(const VectorSegment& segment, const std::function<bool(uint32_t)>& accept) {
    const auto probes = clustered_vectors(40, 32, 3);
    double sum = 0;
    for (const std::vector<float>& probe : probes) {
      const auto near = segment.nearest(probe.data(), 10, accept);
      EXPECT_TRUE(near);
      for (const Graph::Near& one : *near) EXPECT_TRUE(accept(one.index));
      sum += recall(exact_nearest(vectors_, probe, 10, accept), *near);
    }
    return sum / static_cast<double>(probes.size());
  }
  static inline std::vector<std::vector<float>> vectors_;
  static inline std::shared_ptr<const VectorSegment> segment_;
};

TEST_F(LargeSegment, FindsNearlyAllOfTheNearestByItsGraph) {
  EXPECT_GT(mean_recall(*segment_, [](uint32_t) { return true; }), 0.95);
}

TEST_F(LargeSegment, FindsThemAmongThoseThatAreAccepted) {
  EXPECT_GT(mean_recall(*segment_, [](uint32_t entry) { return entry % 3 != 0; }), 0.95);
  EXPECT_EQ(mean_recall(*segment_, [](uint32_t entry) { return entry % 500 == 0; }), 1);
}

TEST_F(LargeSegment, IsTheSameAfterItWasWrittenAndRead) {
  const std::string bytes = segment_->encode();
  const auto again = VectorSegment::decode(bytes);
  ASSERT_TRUE(again) << again.status().to_string();
  EXPECT_EQ((*again)->encode(), bytes);
  for (const std::vector<float>& probe : clustered_vectors(10, 32, 4)) {
    const auto one = segment_->nearest(probe.data(), 20, [](uint32_t) { return true; });
    const auto two = (*again)->nearest(probe.data(), 20, [](uint32_t) { return true; });
    ASSERT_TRUE(one && two);
    ASSERT_EQ(one->size(), two->size());
    for (size_t i = 0; i < one->size(); ++i) EXPECT_EQ((*one)[i].index, (*two)[i].index);
  }
}

TEST_F(LargeSegment, IsBuiltTheSameOfTheSameVectors) {
  EXPECT_EQ((*make_segment(vectors_))->encode(), segment_->encode());
}

TEST_F(LargeSegment, RefusesDamagedBytesOrSearchesInsideOfThem) {
  const std::string bytes = segment_->encode();
  std::mt19937 random(5);
  size_t refused = 0;
  for (int round = 0; round < 60; ++round) {
    std::string broken = bytes;
    // Three in four of the damages hit the graph, which stands last.
    const size_t graph = bytes.size() - 400'000;
    for (int i = 0; i < 3; ++i)
      broken[round % 4 ? graph + random() % (bytes.size() - graph) : random() % 4096] = static_cast<char>(random());
    if (round % 10 == 0) broken.resize(random() % broken.size());
    const auto segment = VectorSegment::decode(broken);
    refused += !segment;
    if (!segment) continue;
    EXPECT_TRUE((*segment)->nearest(vectors_[0].data(), 10, [](uint32_t) { return true; }));
  }
  EXPECT_GT(refused, 20u);
}

TEST(VectorSegment, KnowsWhoseAVectorIs) {
  const auto vectors = clustered_vectors(10, 8, 6);
  const auto segment = make_segment(vectors, 4);
  ASSERT_TRUE(segment);
  EXPECT_EQ((*segment)->documents().size(), 3u);
  EXPECT_EQ((*segment)->find_document("d000001"), std::optional<size_t>(1));
  EXPECT_FALSE((*segment)->find_document("d0000015"));
  EXPECT_EQ((*segment)->document_of(3), 0u);
  EXPECT_EQ((*segment)->document_of(4), 1u);
  EXPECT_EQ((*segment)->end_of(2), 10u);
  EXPECT_EQ((*segment)->find_key(vector_key("7")), std::optional<uint32_t>(7));
  EXPECT_FALSE((*segment)->find_key(vector_key("nobody")));
}

}  // namespace
}  // namespace wenqu::retrieval
