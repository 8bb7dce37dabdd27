#include "engine/tokenizer/tokenizer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <functional>
#include <random>

#include "engine/gguf/file.h"
#include "tests/support/mini_vocabulary.h"

namespace wenqu::engine {
namespace {

using test::GgufWriter;
using test::MiniVocabulary;

class TokenizerTest : public testing::Test {
 protected:
  void SetUp() override {
    path_ = testing::TempDir() + "wenqu_tokenizer_" + std::to_string(::getpid()) + "_" +
            testing::UnitTest::GetInstance()->current_test_info()->name();
  }
  void TearDown() override { std::filesystem::remove(path_); }

  Result<std::shared_ptr<const Tokenizer>> create(const GgufWriter& writer) {
    writer.write(path_);
    WENQU_ASSIGN_OR_RETURN(const auto file, gguf::File::open(path_));
    return Tokenizer::create(*file);
  }
  std::shared_ptr<const Tokenizer> make(std::string_view pre = "deepseek-v3", bool add_bos = true) {
    GgufWriter writer;
    MiniVocabulary().write(writer, pre, add_bos);
    auto tokenizer = create(writer);
    EXPECT_TRUE(tokenizer) << tokenizer.status().to_string();
    return *tokenizer;
  }
  std::string path_;
};

GgufWriter small_spm() {
  GgufWriter writer;
  test::MiniSpmVocabulary().write(writer);
  return writer;
}

TEST_F(TokenizerTest, SentencePieceJoinsTheHighestScoreFirst) {
  const auto tokenizer = *create(small_spm());
  EXPECT_EQ(tokenizer->encode("ab"), (std::vector<TokenId>{265}));
  EXPECT_EQ(tokenizer->encode("abc"), (std::vector<TokenId>{259, 260, 264}));
  EXPECT_EQ(tokenizer->encode("\xC3\xA9"), (std::vector<TokenId>{259, 3 + 0xC3, 3 + 0xA9}));
  EXPECT_EQ(tokenizer->decode(265), " ab");
  EXPECT_EQ(tokenizer->decode(3 + 0xC3), "\xC3");
  const Piece pieces[] = {Piece::plain("a"), Piece::plain("b"), Piece::control("</s>"), Piece::plain("b")};
  EXPECT_EQ(tokenizer->encode(pieces), (std::vector<TokenId>{1, 259, 260, 261, 2, 259, 261}));
}

TEST_F(TokenizerTest, NoTextBecomesAControlTokenThroughItsScores) {
  const auto tokenizer = *create(small_spm());
  for (TokenId id : tokenizer->encode("</s>")) EXPECT_FALSE(tokenizer->is_control(id));
  EXPECT_EQ(tokenizer->encode_control("</s>"), (std::vector<TokenId>{2}));
}

TEST_F(TokenizerTest, SentencePieceTakesAnyBytesOfAnyLength) {
  const auto tokenizer = *create(small_spm());
  const std::string all = [] {
    std::string bytes;
    for (int i = 0; i < 256; ++i) bytes += static_cast<char>(i);
    return bytes;
  }();
  for (const std::string& text : {all, std::string(1 << 20, 'a'), std::string(1 << 20, ' '), std::string(1 << 20, 'b')}) {
    std::string back;
    for (TokenId id : tokenizer->encode(text)) back += tokenizer->decode(id);
    EXPECT_EQ(back, " " + text);
  }
}

TEST_F(TokenizerTest, MergesTheMostImportantPairFirst) {
  const auto tokenizer = make();
  // " the" merges to one token through th, the, Ġthe; "thin" to th + in.
  EXPECT_EQ(tokenizer->encode("in the"), (std::vector<TokenId>{258, 259}));
  EXPECT_EQ(tokenizer->encode("thin"), (std::vector<TokenId>{256, 258}));
}

TEST_F(TokenizerTest, AnyBytesComeBackFromTheirTokens) {
  std::mt19937 random(1);
  for (const char* pre : {"deepseek-llm", "deepseek-v3", "qwen2", "llama-bpe"}) {
    const auto tokenizer = make(pre);
    for (int round = 0; round < 300; ++round) {
      std::string bytes;
      for (size_t i = random() % 60; i > 0; --i) bytes += round % 2 ? static_cast<char>(random()) : "the in渠"[random() % 9];
      std::string back;
      for (TokenId id : tokenizer->encode(bytes)) back += tokenizer->decode(id);
      ASSERT_EQ(back, bytes);
    }
  }
}

TEST_F(TokenizerTest, PlainTextNeverBecomesAControlToken) {
  const auto tokenizer = make();
  for (const char* text : {"<｜User｜>", "<think>", "</think>", "<｜end▁of▁sentence｜>", "<|im_start|>"}) {
    const TokenId id = *tokenizer->find(text);
    const auto plain = tokenizer->encode(std::string("a") + text + "b");
    EXPECT_EQ(std::count(plain.begin(), plain.end(), id), 0) << text;
    const auto control = tokenizer->encode_control(std::string("a") + text + "b");
    EXPECT_EQ(std::count(control.begin(), control.end(), id), 1) << text;
    const std::vector<Piece> pieces = {Piece::control("x"), Piece::plain(text)};
    const auto mixed = tokenizer->encode(std::span<const Piece>(pieces));
    EXPECT_EQ(std::count(mixed.begin(), mixed.end(), id), 0) << text;
  }
  // A user-defined word is no mark: it counts everywhere.
  EXPECT_EQ(tokenizer->encode("naïve"), (std::vector<TokenId>{*tokenizer->find("naïve")}));
}

TEST_F(TokenizerTest, NoMergeMakesAControlToken) {
  MiniVocabulary vocabulary;
  vocabulary.tokens.insert(vocabulary.tokens.end(), {"<s", "<s>", "t>", "<t>"});
  vocabulary.kinds.insert(vocabulary.kinds.end(), {1, 3, 1, 4});
  vocabulary.kinds[static_cast<size_t>('z')] = 3;
  vocabulary.merges.insert(vocabulary.merges.end(), {"< s", "<s >", "t >", "< t>"});
  GgufWriter writer;
  vocabulary.write(writer, "qwen2", false);
  const auto tokenizer = *create(writer);
  const TokenId first = static_cast<TokenId>(vocabulary.tokens.size()) - 4;
  EXPECT_EQ(tokenizer->encode("<s>"), (std::vector<TokenId>{first, '>'}));
  EXPECT_EQ(tokenizer->encode("<t>"), (std::vector<TokenId>{'<', 't', '>'}));   // a mark is spelled in bytes
  EXPECT_EQ(tokenizer->encode_control("<s>"), (std::vector<TokenId>{first + 1}));
  EXPECT_TRUE(tokenizer->is_control(*tokenizer->find("z")));
  EXPECT_TRUE(tokenizer->encode("z").empty());
}

TEST_F(TokenizerTest, PutsExactlyOneBeginningBeforePieces) {
  const auto with = make("deepseek-v3", true), without = make("deepseek-v3", false);
  const TokenId bos = *with->bos();
  const std::vector<Piece> spelled = {Piece::control("<｜begin▁of▁sentence｜>"), Piece::plain("a")}, bare = {Piece::plain("a")};
  EXPECT_EQ(with->encode(std::span<const Piece>(spelled)), (std::vector<TokenId>{bos, 'a'}));
  EXPECT_EQ(with->encode(std::span<const Piece>(bare)).front(), bos);
  EXPECT_EQ(without->encode(std::span<const Piece>(bare)), without->encode("a"));
  EXPECT_EQ(with->encode("a").size(), 1u);
}

TEST_F(TokenizerTest, LlamasFamilyWantsItsBeginningWithoutBeingTold) {
  for (const auto& [pre, wants] : {std::pair{"llama-bpe", true}, {"llama-v3", true}, {"qwen2", false}}) {
    GgufWriter writer;
    writer.set_string("tokenizer.ggml.model", "gpt2");
    writer.set_string("tokenizer.ggml.pre", pre);
    writer.set_strings("tokenizer.ggml.tokens", {"a", "<s>"});
    writer.set_strings("tokenizer.ggml.merges", {});
    writer.set_u32("tokenizer.ggml.bos_token_id", 1);
    EXPECT_EQ((*create(writer))->add_bos(), wants) << pre;
  }
}

TEST_F(TokenizerTest, SpellsControlTokensOnlyWhenAsked) {
  const auto tokenizer = make();
  const TokenId user = *tokenizer->find("<｜User｜>");
  EXPECT_EQ(tokenizer->decode(user), "");
  EXPECT_EQ(tokenizer->decode(user, true), "<｜User｜>");
  EXPECT_EQ(tokenizer->decode(-1), "");
  EXPECT_EQ(tokenizer->decode(1 << 30), "");
  EXPECT_TRUE(tokenizer->is_control(user));
  EXPECT_TRUE(tokenizer->is_end_of_generation(*tokenizer->find("<｜end▁of▁sentence｜>")));
  EXPECT_TRUE(tokenizer->is_end_of_generation(*tokenizer->find("<|im_end|>")));
  EXPECT_FALSE(tokenizer->is_end_of_generation(5));
}

TEST_F(TokenizerTest, LongRunsTakeTimeInProportion) {
  const auto tokenizer = make("qwen2");
  // Quadratic merging would take minutes here.
  EXPECT_EQ(tokenizer->encode(std::string(1 << 20, 'a')).size(), 1u << 20);
  std::string alternating;
  for (int i = 0; i < 1 << 18; ++i) alternating += "th";
  EXPECT_EQ(tokenizer->encode(alternating).size(), 1u << 18);
}

TEST_F(TokenizerTest, ManyTokensThatAlmostFitTakeTimeInProportion) {
  MiniVocabulary vocabulary;
  for (size_t length = 1; length <= 500; ++length) {
    vocabulary.tokens.push_back(std::string(length, 'a') + "b");
    vocabulary.kinds.push_back(4);
  }
  GgufWriter writer;
  vocabulary.write(writer, "qwen2", false);
  const auto tokenizer = *create(writer);
  // Looking each length up at each place would take minutes here.
  EXPECT_EQ(tokenizer->encode(std::string(1 << 17, 'a')).size(), 1u << 17);
  EXPECT_EQ(tokenizer->encode("aaab"), (std::vector<TokenId>{*tokenizer->find("aaab")}));
  EXPECT_EQ(tokenizer->encode(std::string(600, 'a') + "b").size(), 101u);   // the longest is tried first, at each place
}

TEST_F(TokenizerTest, ABrokenVocabularyIsAnError) {
  struct Case {
    const char* name;
    std::function<void(GgufWriter&)> write;
    StatusCode code;
  };
  const auto base = [](GgufWriter& w, const char* model, const char* pre) {
    w.set_string("tokenizer.ggml.model", model);
    w.set_string("tokenizer.ggml.pre", pre);
  };
  const Case cases[] = {
      {"none", [](GgufWriter&) {}, StatusCode::corrupt},
      {"other model", [&](GgufWriter& w) { base(w, "rwkv", "default"); }, StatusCode::unsupported},
      {"no scores", [&](GgufWriter& w) { base(w, "llama", "default"), w.set_strings("tokenizer.ggml.tokens", {"a"}); }, StatusCode::corrupt},
      {"scores too few", [&](GgufWriter& w) { base(w, "llama", "default"), w.set_strings("tokenizer.ggml.tokens", {"a", "b"}), w.set_f32s("tokenizer.ggml.scores", {1}); }, StatusCode::corrupt},
      {"a score that is no number", [&](GgufWriter& w) { base(w, "llama", "default"), w.set_strings("tokenizer.ggml.tokens", {"a"}), w.set_f32s("tokenizer.ggml.scores", {NAN}); }, StatusCode::corrupt},
      {"other pre", [&](GgufWriter& w) { base(w, "gpt2", "gpt-2"); }, StatusCode::unsupported},
      {"no tokens", [&](GgufWriter& w) { base(w, "gpt2", "qwen2"); }, StatusCode::corrupt},
      {"empty tokens", [&](GgufWriter& w) { base(w, "gpt2", "qwen2"), w.set_strings("tokenizer.ggml.tokens", {}); }, StatusCode::corrupt},
      {"kinds too few", [&](GgufWriter& w) { base(w, "gpt2", "qwen2"), w.set_strings("tokenizer.ggml.tokens", {"a", "b"}), w.set_i32s("tokenizer.ggml.token_type", {1}); }, StatusCode::corrupt},
      {"unknown kind", [&](GgufWriter& w) { base(w, "gpt2", "qwen2"), w.set_strings("tokenizer.ggml.tokens", {"a"}), w.set_i32s("tokenizer.ggml.token_type", {77}); }, StatusCode::corrupt},
      {"bos beyond", [&](GgufWriter& w) { base(w, "gpt2", "qwen2"), w.set_strings("tokenizer.ggml.tokens", {"a"}), w.set_u32("tokenizer.ggml.bos_token_id", 1); }, StatusCode::corrupt},
      {"eos negative", [&](GgufWriter& w) { base(w, "gpt2", "qwen2"), w.set_strings("tokenizer.ggml.tokens", {"a"}), w.set_i32("tokenizer.ggml.eos_token_id", -1); }, StatusCode::corrupt},
      {"a control token of thousands of bytes", [&](GgufWriter& w) { base(w, "gpt2", "qwen2"), w.set_strings("tokenizer.ggml.tokens", {std::string(5000, 'a')}), w.set_i32s("tokenizer.ggml.token_type", {3}); }, StatusCode::corrupt},
      {"no merges", [&](GgufWriter& w) { base(w, "gpt2", "qwen2"), w.set_strings("tokenizer.ggml.tokens", {"a"}); }, StatusCode::corrupt},
      {"merge of one", [&](GgufWriter& w) { base(w, "gpt2", "qwen2"), w.set_strings("tokenizer.ggml.tokens", {"a"}), w.set_strings("tokenizer.ggml.merges", {"a"}); }, StatusCode::corrupt},
  };
  for (const Case& c : cases) {
    GgufWriter writer;
    writer.set_u32("x", 1);
    c.write(writer);
    const auto tokenizer = create(writer);
    ASSERT_FALSE(tokenizer) << c.name;
    EXPECT_EQ(tokenizer.status().code(), c.code) << c.name << ": " << tokenizer.status().to_string();
  }
  GgufWriter writer;
  base(writer, "gpt2", "gpt-2");
  EXPECT_NE(create(writer).status().message().find("deepseek-v3"), std::string::npos) << "names what is supported";
}

}  // namespace
}  // namespace wenqu::engine
