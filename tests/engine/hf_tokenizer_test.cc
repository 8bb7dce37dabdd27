#include "engine/convert/hf_tokenizer.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "engine/gguf/file.h"
#include "engine/tokenizer/tokenizer.h"
#include "tests/engine/hf_folder.h"

namespace wenqu::engine::convert {
namespace {

Result<HfTokenizer> read(const std::string& json, uint64_t rows = 300, const std::string& pre = "qwen2") {
  const auto document = parse_json_object(json, "tokenizer.json");
  if (!document) return document.status();
  return read_tokenizer_json(Object(**document, "tokenizer.json"), rows, pre);
}

TEST(HfTokenizer, PreTokenizersAreRecognisedByTheirPatterns) {
  EXPECT_EQ(recognise_pre_tokenizer(test::kQwen2Patterns), "qwen2");
  EXPECT_EQ(recognise_pre_tokenizer(test::kLlamaPatterns), "llama-bpe");
  EXPECT_EQ(recognise_pre_tokenizer(test::kV3Patterns), "deepseek-v3");
  EXPECT_EQ(recognise_pre_tokenizer({"[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", "[一-龥ࠀ-一가-퟿]+", "\\p{N}"}), "deepseek-coder");
  EXPECT_EQ(recognise_pre_tokenizer({R"([\p{Han}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+)"
                                     R"((?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+[\p{Ll}\p{Lm})"
                                     R"(\p{Lo}\p{M}&&[^\p{Han}]]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"}),
            "kimi-k2");
  EXPECT_EQ(recognise_pre_tokenizer({"[\\r\\n]", "\\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽ]+", "\\s?[!-/:-~！-／：-～‘-‟　-。]+", "\\s+$",
                                     "[一-龥ࠀ-一가-퟿]+", "\\p{N}"}),
            "deepseek-llm");
  EXPECT_EQ(recognise_pre_tokenizer({}), "");
  EXPECT_EQ(recognise_pre_tokenizer({test::kV3Patterns[0]}), "");
}

TEST(HfTokenizer, LineBreaksAndDigitsInPatternsMayBeWrittenInTwoWays) {
  // DeepSeek's files have the line breaks themselves in the class, and Digits for the numbers.
  const auto tokenizer = read(R"({"model":{"vocab":{"a":0},"merges":[]},"pre_tokenizer":{"type":"Sequence","pretokenizers":[
      {"type":"Split","pattern":{"Regex":"[\r\n]"}},{"type":"Split","pattern":{"Regex":"\\s?\\p{L}+"}},
      {"type":"Split","pattern":{"Regex":"\\s?\\p{P}+"}},{"type":"Split","pattern":{"Regex":"[一-龥ࠀ-一가-퟿]+"}},
      {"type":"Digits","individual_digits":true},{"type":"ByteLevel","add_prefix_space":false,"use_regex":false}]}})", 300, "");
  ASSERT_TRUE(tokenizer) << tokenizer.status().to_string();
  EXPECT_EQ(tokenizer->pre, "deepseek-coder");
}

TEST(HfTokenizer, MergesMayBeTextsOrPairs) {
  EXPECT_EQ(read(R"({"model":{"vocab":{"a":0},"merges":["a b",["c","d"]]}})")->merges, (std::vector<std::string>{"a b", "c d"}));
  EXPECT_EQ(read(R"({"model":{"vocab":{"a":0},"merges":[["c"]]}})").status().where(), "tokenizer.json: model: merges");
}

TEST(HfTokenizer, AddedTokensAreControlOrUserDefinedAndHolesAreUnused) {
  const auto tokenizer = read(R"({"model":{"vocab":{"a":0,"<s>":1},"merges":[]},"added_tokens":[{"id":1,"content":"<s>","special":true},
      {"id":4,"content":"<think>","special":false}],"post_processor":{"type":"Sequence","processors":[{"type":"ByteLevel"},
      {"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>"}},{"Sequence":{"id":"A"}}]}]}})");
  ASSERT_TRUE(tokenizer) << tokenizer.status().to_string();
  EXPECT_EQ(tokenizer->kinds, (std::vector<int32_t>{1, 3, 5, 5, 4}));
  EXPECT_EQ(tokenizer->tokens, (std::vector<std::string>{"a", "<s>", "[PAD2]", "[PAD3]", "<think>"}));
  EXPECT_EQ(tokenizer->added("<think>"), 4);
  EXPECT_EQ(tokenizer->added("a"), -1);
  EXPECT_TRUE(tokenizer->begins_with_bos);
}

TEST(HfTokenizer, OtherKindsAndBrokenOnesAreRefusedWithTheirPlace) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({})", "tokenizer.json: model"},
      {R"({"model":{"type":"Unigram","vocab":[]}})", "tokenizer.json: model: type"},
      {R"({"model":{"byte_fallback":true,"vocab":{},"merges":[]}})", "tokenizer.json: model: type"},
      {R"({"model":{"merges":[]}})", "tokenizer.json: model: vocab"},
      {R"({"model":{"vocab":[],"merges":[]}})", "tokenizer.json: model: vocab"},
      {R"({"model":{"vocab":{"a":300},"merges":[]}})", "tokenizer.json: model: vocab: a"},
      {R"({"model":{"vocab":{"a":"0"},"merges":[]}})", "tokenizer.json: model: vocab: a"},
      {R"({"model":{"vocab":{"a":0,"b":0},"merges":[]}})", "tokenizer.json: model: vocab: b"},
      {R"({"model":{"vocab":{}}})", "tokenizer.json: model: merges"},
      {R"({"model":{"vocab":{},"merges":[]},"added_tokens":[{"id":300,"content":"x"}]})", "tokenizer.json: added_tokens: id"},
      {R"({"model":{"vocab":{},"merges":[]},"added_tokens":[7]})", "tokenizer.json: added_tokens"},
      {R"({"model":{"vocab":{},"merges":[]},"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":true}})", "tokenizer.json: pre_tokenizer: add_prefix_space"},
  };
  for (const auto& [json, where] : cases) {
    const Status status = read(json).status();
    EXPECT_FALSE(status) << json;
    EXPECT_EQ(status.where(), where) << json;
  }
}

TEST(HfTokenizer, ANormalizerThatWouldChangeTextsIsRefusedByItsName) {
  const auto with = [](const std::string& normalizer) {
    return read(R"({"normalizer":)" + normalizer + R"(,"model":{"vocab":{"a":0},"merges":[]}})").status();
  };
  for (const char* harmless : {"null", R"({"type":"NFC"})", R"({"type":"Sequence","normalizers":[]})", R"({"type":"Sequence","normalizers":[{"type":"NFC"}]})"})
    EXPECT_TRUE(with(harmless)) << harmless;
  for (const char* type : {"Lowercase", "Prepend", "NFKC"})
    for (const bool nested : {false, true}) {
      const std::string one = std::string(R"({"type":")") + type + "\"}";
      const Status status = with(nested ? R"({"type":"Sequence","normalizers":[)" + one + "]}" : one);
      EXPECT_EQ(status.code(), StatusCode::unsupported) << one;
      EXPECT_NE(status.message().find(type), std::string::npos) << status.to_string();
      EXPECT_NE(status.where().find("normalizer"), std::string::npos) << status.to_string();
    }
  EXPECT_EQ(with("7").where(), "tokenizer.json: normalizer");
}

TEST(HfTokenizer, WordsThatAreTokensAreMergedOrNotAsThePreTokenizerHasIt) {
  const auto with = [](const char* ignores, const char* pre) {
    return read(std::string(R"({"model":{"ignore_merges":)") + ignores + R"(,"vocab":{"a":0},"merges":[]},"pre_tokenizer":{"type":"Sequence","pretokenizers":[
      {"type":"Split","pattern":{"Regex":"[\\r\\n]"}},{"type":"Split","pattern":{"Regex":"\\s?\\p{L}+"}},{"type":"Split","pattern":{"Regex":"\\s?\\p{P}+"}},
      {"type":"Split","pattern":{"Regex":"[一-龥ࠀ-一가-퟿]+"}},{"type":"Digits","individual_digits":true},
      {"type":"ByteLevel","add_prefix_space":false,"use_regex":false}]}})", 300, pre).status();
  };
  for (const char* fitting : {"false", "null"}) EXPECT_TRUE(with(fitting, "")) << with(fitting, "").to_string();
  EXPECT_EQ(with("true", "").where(), "tokenizer.json: model: ignore_merges");
  EXPECT_TRUE(with("true", "deepseek-coder")) << "named";
}

TEST(Tiktoken, MergesAreFoundAgainFromTheRanks) {
  // a b c, then ab, abc (of ab and c), bc.
  const std::string ranks = "YQ== 0\nYg== 1\nYw== 2\nYWI= 3\nYWJj 4\nYmM= 5\n";
  const auto config = parse_json_object(R"({"added_tokens_decoder":{"7":{"content":"[BOS]","special":true},"8":{"content":"<think>","special":false}}})", "c");
  const auto tokenizer = read_tiktoken(ranks, Object(**config, "c"), "tiktoken.model", 20, "");
  ASSERT_TRUE(tokenizer) << tokenizer.status().to_string();
  EXPECT_EQ(tokenizer->pre, "kimi-k2");
  EXPECT_EQ(tokenizer->merges, (std::vector<std::string>{"a b", "ab c", "b c"}));
  EXPECT_EQ(tokenizer->tokens, (std::vector<std::string>{"a", "b", "c", "ab", "abc", "bc", "[PAD6]", "[BOS]", "<think>"}));
  EXPECT_EQ(tokenizer->kinds, (std::vector<int32_t>{1, 1, 1, 1, 1, 1, 5, 3, 4}));
}

TEST(Tiktoken, BrokenLinesAreRefusedWithTheirNumber) {
  const auto config = parse_json_object(R"({"added_tokens_decoder":{}})", "c"), none = parse_json_object("{}", "c");
  for (const char* bad : {"YQ==", "YQ== x", "Y?== 1", "YQ== 99", "YQ== 1", " 1"}) {
    const Status status = read_tiktoken(std::string("YQ== 0\n") + bad + "\n", Object(**config, "c"), "tiktoken.model", 20, "").status();
    EXPECT_EQ(status.where(), "tiktoken.model:2") << bad;
  }
  EXPECT_EQ(read_tiktoken("YQ== 0\n", Object(**none, "c"), "t", 20, "").status().where(), "c: added_tokens_decoder");
  const auto high = parse_json_object(R"({"added_tokens_decoder":{"20":{"content":"x"}}})", "c");
  EXPECT_FALSE(read_tiktoken("YQ== 0\n", Object(**high, "c"), "t", 20, ""));
}

TEST(FolderTokenizer, EndsOfTurnsAndTemplatesComeFromTheirOwnFiles) {
  const std::string path = testing::TempDir() + "wenqu_folder_tokenizer_" + std::to_string(::getpid());
  test::HfFolder folder(path);
  folder.write_file("tokenizer.json", test::mini_tokenizer_json(test::kQwen2Patterns));
  folder.write_file("tokenizer_config.json", R"({"eos_token":"<｜end▁of▁sentence｜>","bos_token":null,"chat_template":"of before"})");
  folder.write_file("generation_config.json", R"({"eos_token_id":[265,261]})");
  folder.write_file("chat_template.jinja", "{{ messages }}<|im_start|>");
  const auto config = parse_json_object(R"({"bos_token_id":260})", "config.json");
  gguf::Writer writer;
  ASSERT_TRUE(write_tokenizer(path, Object(**config, "config.json"), 300, "", writer));
  ASSERT_TRUE(writer.open(path + "/t.gguf"));
  ASSERT_TRUE(writer.finish());
  const auto file = *gguf::File::open(path + "/t.gguf");
  EXPECT_EQ(file->get_uint("tokenizer.ggml.eos_token_id"), 261u);
  EXPECT_EQ(file->get_uint("tokenizer.ggml.eot_token_id"), 265u);
  EXPECT_EQ(file->get_uint("tokenizer.ggml.bos_token_id"), 260u);
  EXPECT_EQ(file->get_bool("tokenizer.ggml.add_bos_token"), false);
  EXPECT_EQ(file->get_string("tokenizer.chat_template"), "{{ messages }}<|im_start|>");
  ASSERT_TRUE(Tokenizer::create(*file));

  std::filesystem::remove(path + "/chat_template.jinja");
  folder.write_file("tokenizer_config.json", R"({"chat_template":[{"name":"tool","template":"t"},{"name":"default","template":"d"}]})");
  gguf::Writer other;
  ASSERT_TRUE(write_tokenizer(path, Object(**config, "config.json"), 300, "", other));
  ASSERT_TRUE(other.open(path + "/t.gguf"));
  ASSERT_TRUE(other.finish());
  EXPECT_EQ((*gguf::File::open(path + "/t.gguf"))->get_string("tokenizer.chat_template"), "d");

  folder.write_file("generation_config.json", R"({"eos_token_id":[269]})");
  EXPECT_EQ(write_tokenizer(path, Object(**config, "config.json"), 300, "", other).where(), path + "/generation_config.json: eos_token_id");
}

}  // namespace
}  // namespace wenqu::engine::convert
