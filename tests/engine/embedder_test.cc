#include "engine/embedder.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <thread>

#include "engine/gguf/file.h"
#include "engine/ops/gelu.h"
#include "engine/tokenizer/tokenizer.h"
#include "tests/support/reference_encoder.h"
#include "tests/support/reference_model.h"

namespace wenqu::engine {
namespace {

using test::EncoderOptions;
using test::ReferenceEncoder;

class EmbedderTest : public testing::Test {
 protected:
  void SetUp() override {
    path_ = testing::TempDir() + "wenqu_embedder_" + std::to_string(::getpid()) + "_" +
            testing::UnitTest::GetInstance()->current_test_info()->name();
  }
  void TearDown() override { std::filesystem::remove(path_); }

  std::shared_ptr<const Embedder> load(const test::GgufWriter& file, const EmbedderOptions& options = {.threads = 2}) {
    file.write(path_);
    auto embedder = Embedder::load(path_, options);
    EXPECT_TRUE(embedder) << embedder.status().to_string();
    return embedder ? *embedder : nullptr;
  }
  static std::vector<float> embed(const Embedder& embedder, const std::vector<std::string>& texts) {
    auto embeddings = embedder.embed(texts, {});
    EXPECT_TRUE(embeddings) << embeddings.status().to_string();
    return embeddings ? embeddings->values : std::vector<float>();
  }
  static std::vector<int32_t> ids(const ReferenceEncoder& reference, const std::vector<std::string>& tokens) {
    std::vector<int32_t> out;
    for (const std::string& token : tokens) out.push_back(reference.id(token));
    return out;
  }
  static double distance(std::span<const float> got, const std::vector<double>& want) {
    double error = 0, size = 0;
    EXPECT_EQ(got.size(), want.size());
    for (size_t i = 0; i < want.size(); ++i) error += std::pow(static_cast<double>(got[i]) - want[i], 2), size += want[i] * want[i];
    return std::sqrt(error / size);
  }

  std::string path_;
};

TEST_F(EmbedderTest, GivesWhatTheReferenceGivesForEveryPooling) {
  for (const uint32_t pooling : {1u, 2u, 3u}) {
    const ReferenceEncoder reference({.seed = pooling, .pooling = pooling});
    const auto embedder = load(reference.writer());
    ASSERT_TRUE(embedder);
    EXPECT_EQ(embedder->info().dimensions, 64u);
    const std::vector<float> got = embed(*embedder, {"The stone bridge."});
    const auto want = reference.pooled(ids(reference, {"[CLS]", "\u2581the", "\u2581stone", "\u2581bridge", "\u2581.", "[SEP]"}));
    EXPECT_LT(distance(got, want), 1e-5) << "pooling " << pooling;
  }
}

TEST_F(EmbedderTest, GivesWhatTheReferenceGivesWithTheTokenizerOfXlmRoberta) {
  const ReferenceEncoder reference({.token_types = 1, .pooling = 2, .unigram = true});
  const auto embedder = load(reference.writer());
  ASSERT_TRUE(embedder);
  const std::vector<float> got = embed(*embedder, {"the  石桥. "});
  const auto want = reference.pooled(ids(reference, {"<s>", "\u2581the", "\u2581", "石桥", ".", "</s>"}));
  EXPECT_LT(distance(got, want), 1e-5);
}

TEST_F(EmbedderTest, ReadsATextThatIsLongerThanASegmentOfKeys) {
  const ReferenceEncoder reference({.layers = 1});
  const auto embedder = load(reference.writer());
  ASSERT_TRUE(embedder);
  std::string text;
  std::vector<std::string> tokens = {"[CLS]"};
  for (size_t i = 0; i < 500; ++i) {
    const char letter = static_cast<char>('a' + i * 7 % 26);
    text += std::string(1, letter) + " ";
    tokens.push_back(std::string("\u2581") + letter);
  }
  tokens.push_back("[SEP]");
  EXPECT_LT(distance(embed(*embedder, {text}), reference.pooled(ids(reference, tokens))), 1e-5);
}

TEST_F(EmbedderTest, CutsATextThatIsLongerThanTheModelReads) {
  const ReferenceEncoder reference({.context = 8});
  const auto embedder = load(reference.writer());
  ASSERT_TRUE(embedder);
  const auto long_text = embedder->embed(std::vector<std::string>{"a b c d e f g h i j", "a b c d e f"}, {});
  ASSERT_TRUE(long_text);
  EXPECT_EQ(long_text->truncated, 1u);
  const std::vector<float>& values = long_text->values;
  EXPECT_TRUE(std::equal(values.begin(), values.begin() + 64, values.begin() + 64));
}

TEST_F(EmbedderTest, GivesATextTheSameVectorWhateverStandsBesideItAndOnAnyNumberOfThreads) {
  const ReferenceEncoder reference({});
  const auto embedder = load(reference.writer());
  const auto alone = load(reference.writer(), {.threads = 1});
  ASSERT_TRUE(embedder && alone);
  std::vector<std::string> texts;
  for (int i = 0; i < 40; ++i) texts.push_back(std::string(static_cast<size_t>(i * 13 % 37), 'a' + static_cast<char>(i % 20)) + " bridge " + std::to_string(i));
  const std::vector<float> together = embed(*embedder, texts);
  ASSERT_EQ(together.size(), texts.size() * 64);
  for (size_t i = 0; i < texts.size(); ++i) {
    const std::vector<float> one = embed(*alone, {texts[i]});
    EXPECT_TRUE(std::equal(one.begin(), one.end(), together.begin() + static_cast<std::ptrdiff_t>(i * 64))) << texts[i];
  }
}

TEST_F(EmbedderTest, EmbedsAnEmptyTextAndBytesThatAreNoText) {
  const auto embedder = load(ReferenceEncoder({}).writer());
  ASSERT_TRUE(embedder);
  const std::vector<float> got = embed(*embedder, {"", "\xff\xfe\x80", std::string("a\0b", 3)});
  ASSERT_EQ(got.size(), 3u * 64);
  for (size_t text = 0; text < 3; ++text) {
    double squares = 0;
    for (size_t i = 0; i < 64; ++i) squares += std::pow(static_cast<double>(got[text * 64 + i]), 2);
    EXPECT_NEAR(squares, 1, 1e-5);
  }
  EXPECT_TRUE(embed(*embedder, {}).empty());
}

TEST_F(EmbedderTest, ScoresPairsAsTheReferenceDoes) {
  for (const bool dense : {true, false}) {
    const ReferenceEncoder reference({.pooling = 4, .dense_head = dense});
    const auto embedder = load(reference.writer());
    ASSERT_TRUE(embedder);
    EXPECT_TRUE(embedder->info().ranks);
    const auto scores = embedder->score("stone", std::vector<std::string>{"the bridge", "a b c"}, {});
    ASSERT_TRUE(scores) << scores.status().to_string();
    ASSERT_EQ(scores->size(), 2u);
    const auto first = reference.pooled(ids(reference, {"[CLS]", "\u2581stone", "[SEP]", "\u2581the", "\u2581bridge", "[SEP]"}), 3);
    const auto second = reference.pooled(ids(reference, {"[CLS]", "\u2581stone", "[SEP]", "\u2581a", "\u2581b", "\u2581c", "[SEP]"}), 3);
    EXPECT_NEAR((*scores)[0], first[0], 1e-4);
    EXPECT_NEAR((*scores)[1], second[0], 1e-4);
  }
}

TEST_F(EmbedderTest, ScoresPairsWithTwoEndsBetweenThemAsXlmRobertaWasTrained) {
  const ReferenceEncoder reference({.token_types = 1, .pooling = 4, .unigram = true});
  const auto embedder = load(reference.writer());
  ASSERT_TRUE(embedder);
  const auto scores = embedder->score("the", std::vector<std::string>{"石桥"}, {});
  ASSERT_TRUE(scores);
  const auto want = reference.pooled(ids(reference, {"<s>", "\u2581the", "</s>", "</s>", "\u2581", "石桥", "</s>"}));
  EXPECT_NEAR((*scores)[0], want[0], 1e-4);
}

TEST_F(EmbedderTest, TellsWhatAModelIsNotFor) {
  const auto ranker = load(ReferenceEncoder({.pooling = 4}).writer());
  ASSERT_TRUE(ranker);
  EXPECT_EQ(ranker->embed(std::vector<std::string>{"a"}, {}).status().code(), StatusCode::unsupported);
  const auto embedder = load(ReferenceEncoder({}).writer());
  ASSERT_TRUE(embedder);
  EXPECT_EQ(embedder->score("a", std::vector<std::string>{"b"}, {}).status().code(), StatusCode::unsupported);
}

TEST_F(EmbedderTest, StopsWhenItIsCancelled) {
  const auto embedder = load(ReferenceEncoder({}).writer());
  ASSERT_TRUE(embedder);
  CancelSource source;
  source.cancel();
  EXPECT_EQ(embedder->embed(std::vector<std::string>{"a"}, source.token()).status().code(), StatusCode::cancelled);
}

TEST_F(EmbedderTest, IsUsedByManyThreadsAtOnce) {
  const auto embedder = load(ReferenceEncoder({}).writer());
  ASSERT_TRUE(embedder);
  const std::vector<float> want = embed(*embedder, {"the stone bridge"});
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&] {
      for (int round = 0; round < 5; ++round) EXPECT_EQ(embed(*embedder, {"the stone bridge"}), want);
    });
  for (std::thread& thread : threads) thread.join();
}

TEST_F(EmbedderTest, TellsModelsApartByTheirIdentity) {
  const auto one = load(ReferenceEncoder({.seed = 1}).writer()), again = load(ReferenceEncoder({.seed = 1}).writer());
  const auto other = load(ReferenceEncoder({.seed = 2}).writer());
  ASSERT_TRUE(one && again && other);
  EXPECT_EQ(one->info().identity, again->info().identity);
  EXPECT_NE(one->info().identity, other->info().identity);
}

TEST_F(EmbedderTest, GivesTheLastTokensStateOfADecoder) {
  const test::ReferenceOptions options{.tied = true, .dense = "qwen3"};
  const test::ReferenceModel reference(options);
  const auto embedder = load(reference.writer());
  ASSERT_TRUE(embedder);
  EXPECT_EQ(embedder->info().pooling, "last");
  const std::vector<float> together = embed(*embedder, {"a bridge", "another bridge of stone", "x"});
  ASSERT_EQ(together.size(), 3u * embedder->info().dimensions);
  const std::vector<float> alone = embed(*embedder, {"x"});
  for (size_t i = 0; i < alone.size(); ++i) EXPECT_EQ(alone[i], together[2 * alone.size() + i]);
  // With tied weights the logits are the embedding's rows times the state: the vector gives them up to a factor.
  const auto file = *gguf::File::open(path_);
  const auto tokenizer = *Tokenizer::create(*file);
  std::vector<int32_t> tokens = tokenizer->encode("x");
  if (tokenizer->add_bos()) tokens.insert(tokens.begin(), *tokenizer->bos());
  tokens.push_back(static_cast<int32_t>(*file->get_uint("tokenizer.ggml.eos_token_id")));
  const std::vector<double> logits = reference.logits(tokens).back();
  const std::vector<float>& rows = reference.tensors().at("token_embd.weight").values;
  double product = 0, size = 0, other = 0;
  for (size_t row = 0; row < logits.size(); ++row) {
    double value = 0;
    for (size_t i = 0; i < alone.size(); ++i) value += static_cast<double>(rows[row * alone.size() + i]) * static_cast<double>(alone[i]);
    product += value * logits[row], size += value * value, other += logits[row] * logits[row];
  }
  EXPECT_GT(product / std::sqrt(size * other), 0.999999);
}

TEST_F(EmbedderTest, RefusesFilesThatBreakTheirOwnRules) {
  const auto code = [&](const auto& change) {
    test::GgufWriter file = ReferenceEncoder({}).writer();
    change(file);
    file.write(path_);
    return Embedder::load(path_).status().code();
  };
  // The later of two equal keys is refused, or counts; either way the file is wrong.
  EXPECT_NE(code([](test::GgufWriter& file) { file.set_u32("bert.attention.head_count", 7); }), StatusCode::ok);
  EXPECT_NE(code([](test::GgufWriter& file) { file.set_u32("bert.feed_forward_length", 1 << 30); }), StatusCode::ok);
  ReferenceEncoder({}).writer().write(path_);
  const auto whole = std::filesystem::file_size(path_);
  for (const uintmax_t size : {uintmax_t{0}, uintmax_t{24}, whole / 2, whole - 4}) {
    ReferenceEncoder({}).writer().write(path_);
    std::filesystem::resize_file(path_, size);
    EXPECT_FALSE(Embedder::load(path_)) << size;
  }
  EXPECT_EQ(Embedder::load("/nowhere/model.gguf").status().code(), StatusCode::not_found);
  EXPECT_EQ(Embedder::load(path_, {.threads = -1}).status().code(), StatusCode::invalid_argument);
}

TEST(Gelu, IsTheExactFormWithinItsBound) {
  std::vector<float> values;
  for (int i = -4000; i <= 4000; ++i) values.push_back(static_cast<float>(i) * 0.005f);
  std::vector<float> got = values;
  ops::gelu(got.data(), got.size());
  for (size_t i = 0; i < values.size(); ++i) {
    const double x = static_cast<double>(values[i]);
    EXPECT_NEAR(static_cast<double>(got[i]), x * (1 + std::erf(x / std::sqrt(2.0))) / 2, 2e-6) << x;
  }
}

}  // namespace
}  // namespace wenqu::engine
