// A folder of its own for each test, and short ways to say documents and searches.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "retrieval/index.h"
#include "test_folder.h"

namespace wenqu::retrieval {

class IndexTest : public testing::Test {
 protected:
  void SetUp() override {
    root_ = make_test_folder();
    ASSERT_FALSE(root_.empty());
    directory_ = root_ + "/索引 é";
  }
  void TearDown() override {
    std::error_code ignored;
    std::filesystem::remove_all(root_, ignored);
  }

  std::unique_ptr<Index> open(Index::Mode mode, const IndexOptions& options = {}) {
    auto index = Index::open(directory_, mode, options);
    EXPECT_TRUE(index) << index.status().to_string();
    return index ? std::move(*index) : nullptr;
  }

  std::string root_;
  std::string directory_;
};

inline Document make_document(std::string id, std::string text, std::string title = {},
                              Source source = Source::web) {
  Document document;
  document.id = std::move(id);
  document.text = std::move(text);
  document.title = std::move(title);
  document.source = source;
  return document;
}

inline SearchResponse find(const Index& index, std::string query, size_t top = 10) {
  SearchRequest request;
  request.query = std::move(query);
  request.top = top;
  auto response = index.search(request, CancelToken());
  EXPECT_TRUE(response) << response.status().to_string();
  return response ? *response : SearchResponse();
}

inline std::vector<std::string> ids(const SearchResponse& response) {
  std::vector<std::string> ids;
  for (const Hit& hit : response.hits) ids.push_back(hit.passage.document_id);
  return ids;
}

#define EXPECT_OK(expression)                                        \
  do {                                                               \
    const ::wenqu::Status expect_ok_status_ = (expression);          \
    EXPECT_TRUE(expect_ok_status_) << expect_ok_status_.to_string(); \
  } while (0)

}  // namespace wenqu::retrieval
