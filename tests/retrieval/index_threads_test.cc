#include <atomic>
#include <thread>

#include "index_fixture.h"

namespace wenqu::retrieval {
namespace {

// Two documents change together with each commit; nobody may see one without the other.
TEST_F(IndexTest, SearchesSeeWholeCommitsWhileOthersAreMade) {
  constexpr int kCommits = 400;
  auto writer = open(Index::Mode::write);
  const auto commit = [&](int version) {
    const std::string text = "lantern version" + std::to_string(version);
    EXPECT_OK(writer->add(make_document("left", text)));
    EXPECT_OK(writer->add(make_document("right", text)));
    EXPECT_OK(writer->add(make_document("other" + std::to_string(version), "unrelated")));
    EXPECT_OK(writer->commit());
  };
  commit(0);
  auto reader = open(Index::Mode::read);

  std::atomic<bool> done{false};
  std::atomic<int> wrong{0};
  std::atomic<int> searches{0};
  const auto look = [&](Index& index, bool refreshing) {
    while (!done) {
      if (refreshing && !index.refresh()) ++wrong;
      SearchRequest request;
      request.query = "lantern";
      const auto response = index.search(request, CancelToken());
      const bool right = response && response->hits.size() == 2 &&
                         response->hits[0].passage.text == response->hits[1].passage.text;
      wrong += !right;
      wrong += !index.fetch("left");
      wrong += index.stats().documents < 3;
      ++searches;
    }
  };
  std::vector<std::thread> threads;
  threads.emplace_back([&] { look(*writer, false); });
  threads.emplace_back([&] { look(*reader, true); });
  threads.emplace_back([&] { look(*reader, true); });
  for (int version = 1; version <= kCommits; ++version) commit(version);
  done = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_GT(searches, 0);
  EXPECT_OK(reader->refresh());
  EXPECT_EQ(find(*reader, "lantern").hits[0].passage.text, "lantern version" + std::to_string(kCommits));
}

TEST_F(IndexTest, ChangesFromManyThreadsAllArrive) {
  auto index = open(Index::Mode::write);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 25; ++i) {
        EXPECT_OK(index->add(make_document(std::to_string(t) + "-" + std::to_string(i), "lantern")));
        if (i % 10 == 0) EXPECT_OK(index->commit());
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_OK(index->commit());
  EXPECT_EQ(index->stats().documents, 100u);
}

}  // namespace
}  // namespace wenqu::retrieval
