// A small random model on disk, loaded, for the tests of what is done with models.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/timeline.h"
#include "tests/support/reference_model.h"

namespace wenqu::test {

using namespace wenqu::engine;

inline const std::vector<TokenId> kTokens = {260, 5, 77, 200, 13, 13, 99, 256, 41, 7, 150, 2};

class ModelTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::UnitTest::GetInstance()->current_test_info()->name();
    std::replace(name.begin(), name.end(), '/', '_');
    path_ = testing::TempDir() + "wenqu_model_" + std::to_string(::getpid()) + "_" + name;
  }
  void TearDown() override { std::filesystem::remove(path_); }

  std::shared_ptr<const Model> load(const ReferenceOptions& options, int threads = 2) {
    ReferenceModel(options).writer().write(path_);
    LoadOptions load;
    load.threads = threads;
    load.prefix_cache_bytes = 0;   // what is compared is computed
    auto model = Model::load(path_, load);
    EXPECT_TRUE(model) << model.status().to_string();
    return *model;
  }

  static std::vector<float> all_logits(const std::shared_ptr<const Model>& model, const std::vector<TokenId>& tokens,
                                       const TimelineOptions& options = {.kv_type = KvType::f32}) {
    auto timeline = *Timeline::create(model, options);
    return *timeline->append_with_logits(tokens, {});
  }
  // ||a - b|| / ||b||
  static double distance(std::span<const float> a, std::span<const float> b) {
    double error = 0, size = 0;
    for (size_t i = 0; i < b.size(); ++i) error += std::pow(double{a[i]} - b[i], 2), size += double{b[i]} * b[i];
    return std::sqrt(error / size);
  }

  void expect_reference(const ReferenceOptions& options) {
    const auto model = load(options);
    const auto want = ReferenceModel(options).logits(kTokens);
    const std::vector<float> got = all_logits(model, kTokens);
    const size_t vocabulary = model->info().vocabulary;
    ASSERT_EQ(got.size(), kTokens.size() * vocabulary);
    for (size_t t = 0; t < kTokens.size(); ++t) {
      double error = 0, size = 0;
      for (size_t i = 0; i < vocabulary; ++i) {
        error += std::pow(got[t * vocabulary + i] - want[t][i], 2);
        size += want[t][i] * want[t][i];
      }
      EXPECT_LT(std::sqrt(error / size), 1e-4) << "token " << t;
    }
  }

  std::string path_;
};

}  // namespace wenqu::test
