// Sessions whose pages do not all fit the device.
#include "engine/device/segments.h"

#include <gmock/gmock.h>

#include "tests/engine/cuda/device_model_fixture.h"

namespace wenqu::test {
namespace {

// A budget that holds `pages` pages of sessions beside the model and its logits.
class SessionsOnADevice : public TimelineOnADevice {
 protected:
  std::shared_ptr<const Model> load_with_pages(size_t pages) {
    const auto whole = load_on_device(small());
    const uint64_t page = whole->info().kv_bytes_per_token * KvCache::kSegmentTokens;
    const uint64_t weights = DeviceModel::needs(whole->runtime().config, whole->runtime().weights, {.layers = {0, whole->info().layers}}).total();
    // What is kept for tables is a sixteenth of the rest, where the context asked for leaves so much.
    const auto model = load_on_device(small(), weights + (pages * page + 8 * session_logits_bytes(whole->runtime().config)) * 16 / 15 + 16);
    EXPECT_EQ(model->info().cpu_experts, 0u);
    return model;
  }
  // A session of its own.
  static std::unique_ptr<Timeline> session(const std::shared_ptr<const Model>& model) { return *Timeline::create(model, {.share_prefixes = false}); }
};

TEST_F(SessionsOnADevice, IdleOnesGiveWayAndComeBackAsTheyWere) {
  const auto model = load_with_pages(2);
  const auto& segments = *model->runtime().gpu->segment_memory();
  std::vector<std::unique_ptr<Timeline>> sessions;
  for (int i = 0; i < 4; ++i) {   // more than fit
    sessions.push_back(session(model));
    std::vector<TokenId> tokens(kTokens.begin(), kTokens.begin() + 4);
    tokens.back() = i;
    const Status status = sessions.back()->append(tokens, {});
    ASSERT_TRUE(status) << i << ": " << status.to_string();
  }
  EXPECT_GT(segments.bytes_moved(), 0u);
  // What each reads next is what one reads that was never away.
  const TokenId next = 17;
  for (int i = 0; i < 4; ++i) {
    auto never_away = session(model);
    std::vector<TokenId> tokens(kTokens.begin(), kTokens.begin() + 4);
    tokens.back() = i;
    ASSERT_TRUE(never_away->append(tokens, {}));
    ASSERT_TRUE(never_away->append({&next, 1}, {}));
    const Status status = sessions[static_cast<size_t>(i)]->append({&next, 1}, {});
    ASSERT_TRUE(status) << status.to_string();
    // A prompt beside others that decode is read in other pieces: all but last digits are the same.
    EXPECT_LT(distance(sessions[static_cast<size_t>(i)]->logits(), never_away->logits()), 1e-3) << i;
  }
}

TEST_F(SessionsOnADevice, WhatIsAwayIsForkedAndSavedAsWell) {
  const auto model = load_with_pages(2);
  auto first = session(model);
  ASSERT_TRUE(first->append(kTokens, {}));
  std::vector<std::unique_ptr<Timeline>> others;
  for (int i = 0; i < 2; ++i) {
    others.push_back(session(model));
    ASSERT_TRUE(others.back()->append({kTokens.begin(), kTokens.begin() + 5 + i}, {}));
  }
  const std::string saved = path_ + ".session";
  ASSERT_TRUE(first->save(saved));   // from where it lies
  auto fork = *first->fork();
  const TokenId next = 3;
  ASSERT_TRUE(fork->append({&next, 1}, {}));   // which copies the page
  ASSERT_TRUE(first->append({&next, 1}, {}));
  EXPECT_TRUE(std::ranges::equal(fork->logits(), first->logits()));
  auto restored = *Timeline::restore(model, saved, {});
  ASSERT_TRUE(restored->append({&next, 1}, {}));
  EXPECT_TRUE(std::ranges::equal(restored->logits(), first->logits()));
  std::filesystem::remove(saved);
}

TEST_F(SessionsOnADevice, ADeviceThatFailsWhereOneShallGiveWayIsToldAndNotTakenForFull) {
  const auto model = load_with_pages(2);
  auto first = session(model), second = session(model), third = session(model);
  ASSERT_TRUE(first->append(kTokens, {}));
  ASSERT_TRUE(second->append(kTokens, {}));
  device_->fail_downloads(Status(StatusCode::io_error, "fell off the bus"));
  const Status status = third->append(kTokens, {});
  EXPECT_EQ(status.code(), StatusCode::io_error) << status.to_string();
  EXPECT_THAT(status.message(), testing::HasSubstr("fell off the bus"));
  device_->fail_downloads({});
  ASSERT_TRUE(third->append(kTokens, {}));
  const TokenId next = 3;
  EXPECT_TRUE(first->append({&next, 1}, {})) << "it lost nothing";
}

TEST_F(SessionsOnADevice, OneThatIsTooLargeByItselfFailsAlone) {
  const auto model = load_with_pages(2);
  auto first = session(model), second = session(model);
  ASSERT_TRUE(first->append(kTokens, {}));
  const uint64_t moved = model->runtime().gpu->segment_memory()->bytes_moved();
  const std::vector<TokenId> long_prompt(3 * KvCache::kSegmentTokens, 5);
  const Status status = second->append(long_prompt, {});
  ASSERT_FALSE(status);
  EXPECT_EQ(status.code(), StatusCode::out_of_memory) << status.to_string();
  EXPECT_EQ(model->runtime().gpu->segment_memory()->bytes_moved(), moved);   // what can never be had drives nothing out
  EXPECT_EQ(answer(*first, 2).size(), 2u);
}

}  // namespace
}  // namespace wenqu::test
