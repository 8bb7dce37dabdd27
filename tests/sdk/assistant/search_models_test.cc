#include "sdk/assistant/search_models.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "sdk/assistant/open.h"
#include "tests/support/counting_model.h"
#include "tests/support/reference_encoder.h"

namespace wenqu::assistant {
namespace {

class SearchModelsTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = testing::TempDir() + "wenqu_search_models_" + std::to_string(::getpid()) + "_" +
              testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::create_directories(folder_);
    test::ReferenceEncoder({}).writer().write(embed());
    test::ReferenceEncoder({.pooling = 4}).writer().write(rerank());
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string embed() const { return folder_ + "/embed.gguf"; }
  std::string rerank() const { return folder_ + "/rerank.gguf"; }

  static retrieval::Document document(std::string id, std::string text) {
    retrieval::Document document;
    document.id = std::move(id);
    document.text = std::move(text);
    return document;
  }
  void fill(const SearchModelOptions& options) const {
    const auto models = load_search_models(options);
    ASSERT_TRUE(models) << models.status().to_string();
    auto index = retrieval::Index::open(folder_ + "/index", retrieval::Index::Mode::write, {.models = *models});
    ASSERT_TRUE(index) << index.status().to_string();
    ASSERT_TRUE((*index)->add(document("a", "the stone bridge")));
    ASSERT_TRUE((*index)->add(document("b", "水 桥 bridged")));
    ASSERT_TRUE((*index)->commit());
    EXPECT_EQ((*index)->stats().vectors, 2u);
  }

  std::string folder_;
};

TEST_F(SearchModelsTest, LetIndexesBeSearchedByVectorsOfAModelFile) {
  fill({.embed_path = embed(), .threads = 1});
  const auto models = load_search_models({.embed_path = embed(), .rerank_path = rerank(), .threads = 1});
  ASSERT_TRUE(models) << models.status().to_string();
  const auto index = retrieval::Index::open(folder_ + "/index", retrieval::Index::Mode::read, {.models = *models});
  ASSERT_TRUE(index) << index.status().to_string();
  // No word of the question stands anywhere, but every text has a vector.
  const auto found = (*index)->search({.query = "cafe", .hybrid = {.dense = retrieval::HybridOptions::Use::required}}, {});
  ASSERT_TRUE(found) << found.status().to_string();
  EXPECT_EQ(found->hits.size(), 2u);
  EXPECT_TRUE(found->dense);
  EXPECT_TRUE(found->reranked);
  // A text's own vector is the nearest to it.
  const auto same = (*index)->search({.query = "水 桥 bridged", .hybrid = {.dense_weight = 1, .rerank = retrieval::HybridOptions::Use::never}}, {});
  ASSERT_TRUE(same);
  EXPECT_EQ(same->hits.at(0).passage.document_id, "b");
}

TEST_F(SearchModelsTest, RankAgainWithAGenerativeModel) {
  test::counting_model().write(folder_ + "/chat.gguf");
  const auto models = load_search_models({.rerank_path = folder_ + "/chat.gguf", .threads = 1});
  ASSERT_TRUE(models) << models.status().to_string();
  auto index = retrieval::Index::open(folder_ + "/index", retrieval::Index::Mode::write, {.models = *models});
  ASSERT_TRUE(index) << index.status().to_string();
  for (const auto& [id, text] : {std::pair("a", "the stone bridge bridge"), {"b", "a bridge!"}, {"c", "over the bridge!!!!!!!!"}})
    ASSERT_TRUE((*index)->add(document(id, text)));
  ASSERT_TRUE((*index)->commit());
  const auto found = (*index)->search({.query = "bridge", .hybrid = {.rerank = retrieval::HybridOptions::Use::required}}, {});
  ASSERT_TRUE(found) << found.status().to_string();
  EXPECT_TRUE(found->reranked);
  ASSERT_EQ(found->hits.size(), 3u);
  EXPECT_EQ(found->hits[0].passage.document_id, "c");
  EXPECT_EQ(found->hits[1].passage.document_id, "b");
}

TEST_F(SearchModelsTest, LetTheModelThatAnswersRankToo) {
  test::counting_model().write(folder_ + "/chat.gguf");
  std::filesystem::create_symlink("chat.gguf", folder_ + "/alias.gguf");
  EXPECT_TRUE(is_same_file(folder_ + "/chat.gguf", folder_ + "/alias.gguf"));
  EXPECT_FALSE(is_same_file(folder_ + "/chat.gguf", rerank()));
  EXPECT_FALSE(is_same_file("", ""));
  {
    auto index = retrieval::Index::open(folder_ + "/index", retrieval::Index::Mode::write);
    ASSERT_TRUE(index) << index.status().to_string();
    ASSERT_TRUE((*index)->add(document("a", "the bridge bridge")));
    ASSERT_TRUE((*index)->add(document("b", "a bridge!!!!")));
    ASSERT_TRUE((*index)->commit());
  }
  OpenOptions open{.index_directory = folder_ + "/index", .model_path = folder_ + "/chat.gguf", .model_ranks = true};
  open.model.threads = 1;
  const auto opened = open_assistant(open);
  ASSERT_TRUE(opened) << opened.status().to_string();
  const auto found = opened->index->search({.query = "bridge"}, {});
  ASSERT_TRUE(found) << found.status().to_string();
  EXPECT_TRUE(found->reranked);
  EXPECT_EQ(found->hits.at(0).passage.document_id, "b");
}

TEST_F(SearchModelsTest, TellPassagePrefixesApart) {
  fill({.embed_path = embed(), .threads = 1});
  const auto open = [&](const SearchModelOptions& options) {
    return retrieval::Index::open(folder_ + "/index", retrieval::Index::Mode::read, {.models = *load_search_models(options)}).status().code();
  };
  EXPECT_EQ(open({.embed_path = embed(), .query_prefix = "what: "}), StatusCode::ok);
  EXPECT_EQ(open({.embed_path = embed(), .passage_prefix = "this: "}), StatusCode::version_mismatch);
}

TEST_F(SearchModelsTest, RefuseAFileForTheOtherUse) {
  EXPECT_EQ(load_search_models({.embed_path = rerank()}).status().code(), StatusCode::invalid_argument);
  EXPECT_EQ(load_search_models({.rerank_path = embed()}).status().code(), StatusCode::invalid_argument);
  test::GgufWriter decoder = test::counting_model();
  decoder.set_u32("llama.pooling_type", 3);
  decoder.write(folder_ + "/decoder.gguf");
  EXPECT_EQ(load_search_models({.rerank_path = folder_ + "/decoder.gguf"}).status().code(), StatusCode::invalid_argument);
  EXPECT_EQ(load_search_models({.embed_path = "/nowhere.gguf"}).status().code(), StatusCode::not_found);
  const auto none = load_search_models({});
  ASSERT_TRUE(none);
  EXPECT_FALSE(none->embedding);
  EXPECT_FALSE(none->rerank);
}

TEST(TrainedPrefixes, AreThoseOfTheModelsMakers) {
  EXPECT_EQ(trained_prefixes("Multilingual E5 Small").query, "query: ");
  EXPECT_EQ(trained_prefixes("multilingual-e5-base").passage, "passage: ");
  EXPECT_TRUE(trained_prefixes("Qwen3 Embedding 0.6B").query.starts_with("Instruct: "));
  EXPECT_FALSE(trained_prefixes("bge-small-zh-v1.5").query.empty());
  EXPECT_EQ(trained_prefixes("Bge M3").query, "");
}

}  // namespace
}  // namespace wenqu::assistant
