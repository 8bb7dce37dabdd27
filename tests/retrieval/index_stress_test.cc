// Searches beside additions, replacements, removals and merges, each of whose answers must be one that was right at
// some moment of the search.
#include <array>
#include <atomic>
#include <random>
#include <thread>

#include "index_fixture.h"
#include "retrieval/index_check.h"

namespace wenqu::retrieval {
namespace {

constexpr int kDocuments = 60;

// Letters only: the analysis would give the parts of "token12" too.
std::string word_of(int number) {
  std::string word = "zz";
  for (number += 10; number > 0; number /= 10) word += static_cast<char>('b' + number % 10);
  return word + "qx";
}

// The version of a document that a text is of; 0 is none.
int version_in(const std::string& text) {
  const size_t place = text.find("version ");
  return place == std::string::npos ? -1 : std::stoi(text.substr(place + 8));
}

// What is known of a document: odd versions are texts, even ones that it is removed.
struct Known {
  std::atomic<int> given{0};     // to the index
  std::atomic<int> visible{0};   // has been shown
};

TEST_F(IndexTest, NoSearchGivesAWrongAnswerWhileTheIndexChanges) {
  IndexOptions options;
  options.merge_factor = 3;
  auto index = *Index::open(directory_, Index::Mode::write, options);
  std::array<Known, kDocuments> known;
  std::atomic<bool> done{false};
  std::atomic<int> searches{0};
  std::atomic<int> wrong{0};
  const auto look = [&](unsigned seed) {
    std::mt19937 random(seed);
    while (!done) {
      const auto number = static_cast<int>(random() % kDocuments);
      Known& about = known[static_cast<size_t>(number)];
      const int least = about.visible;
      SearchRequest request;
      request.query = word_of(number);
      const auto response = index->search(request, CancelToken());
      const int most = about.given;
      bool right = response.is_ok() && response->hits.size() <= 1;
      if (right && response->hits.empty()) {
        right = least % 2 == 0 || most > least;   // removed, or just being so
      } else if (right) {
        const int version = version_in(response->hits[0].passage.text);
        right = response->hits[0].passage.document_id == "doc" + std::to_string(number) && version % 2 == 1 &&
                version >= least && version <= most;
      }
      if (!right && ++wrong <= 3)
        ADD_FAILURE() << word_of(number) << ": " << (response ? std::to_string(response->hits.size()) + " hits" : response.status().to_string())
                      << ", at least " << least << ", at most " << most;
      ++searches;
    }
  };
  std::vector<std::thread> threads;
  for (unsigned seed = 1; seed <= 2; ++seed) threads.emplace_back(look, seed);
  std::mt19937 random(3);
  for (int step = 0; step < 1500 || searches < 300; ++step) {
    const auto number = static_cast<int>(random() % kDocuments);
    Known& about = known[static_cast<size_t>(number)];
    const int version = about.given;
    const std::string id = "doc" + std::to_string(number);
    if (version % 2 == 1 && random() % 4 == 0) {
      about.given = version + 1;
      EXPECT_OK(index->remove(id));
    } else {
      const int next = version % 2 == 1 ? version + 2 : version + 1;
      about.given = next;
      EXPECT_OK(index->add(make_document(id, word_of(number) + " version " + std::to_string(next) + " 灯笼", "标题")));
    }
    if (random() % 5 != 0) continue;
    EXPECT_OK(random() % 4 == 0 ? index->commit() : index->make_visible());
    for (Known& each : known) each.visible = each.given.load();
  }
  EXPECT_OK(index->commit());
  done = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_OK(index->upkeep_status());
  index.reset();
  const auto check = check_index(directory_, CancelToken());
  ASSERT_TRUE(check);
  EXPECT_TRUE(check->newest.whole());
  uint64_t alive = 0;
  for (const Known& each : known) alive += each.given % 2 == 1;
  EXPECT_EQ(check->newest.documents, alive);
}

}  // namespace
}  // namespace wenqu::retrieval
