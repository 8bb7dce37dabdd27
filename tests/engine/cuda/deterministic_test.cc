// Rows that must not depend on the batch they are computed in.
#include "engine/cuda/products.h"

#include <gmock/gmock.h>

#include "tests/engine/cuda/device_model_fixture.h"

namespace wenqu::test {
namespace {

// A token's logits in a deterministic sequence, whatever is beside it.
class DeterministicOnADevice : public DeviceModelTest {
 protected:
  std::vector<float> read_as(KvCache& cache, std::span<const TokenId> tokens, size_t piece, const Sequence* beside) {
    std::vector<float> logits;
    for (size_t at = 0; at < tokens.size(); at += piece) {
      const auto some = tokens.subspan(at, std::min(piece, tokens.size() - at));
      EXPECT_TRUE(cache.resize(at + some.size()));
      std::vector<Sequence> batch;
      if (beside) batch.push_back(*beside);
      batch.push_back({.tokens = some, .position = at, .cache = &cache, .wanted = Sequence::Logits::all, .deterministic = true, .logits = &logits});
      const Status status = on_device_->forward(batch, {});
      EXPECT_TRUE(status) << status.to_string();
    }
    return logits;
  }
};

TEST_F(DeterministicOnADevice, ATokenGivesTheSameHoweverItIsRead) {
  ReferenceOptions mla, grouped;
  mla.deepseek = true, mla.layers = 2;
  grouped.dense = "qwen3moe", grouped.layers = 2;
  for (const ReferenceOptions& options : {mla, grouped}) {
    use(options);
    const std::span<const TokenId> tokens = std::span(kTokens).first(5);
    const std::vector<TokenId> others(9, 9);   // with which a batch is one of many rows
    KvCache other = cache(), whole = cache();
    ASSERT_TRUE(other.resize(others.size()));
    std::vector<float> unused;
    const Sequence beside{.tokens = others, .cache = &other, .logits = &unused};
    const std::vector<float> want = read_as(whole, tokens, tokens.size(), nullptr);
    KvCache alone = cache(), among = cache();
    EXPECT_EQ(read_as(alone, tokens, 1, nullptr), want);
    EXPECT_EQ(read_as(among, tokens, 4, &beside), want);
  }
}

}  // namespace
}  // namespace wenqu::test
