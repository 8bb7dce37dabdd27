// Random sequences of changes, held against a map in memory.
#include <map>
#include <random>

#include "index_fixture.h"

namespace wenqu::retrieval {
namespace {

class IndexModelTest : public IndexTest, public testing::WithParamInterface<unsigned> {};

TEST_P(IndexModelTest, AgreesWithAMapAfterEveryCommit) {
  std::mt19937 random(GetParam());
  std::map<std::string, std::string> pending;    // id -> text
  std::map<std::string, std::string> committed;
  std::map<std::string, std::string> words;      // id -> a word of its newest text only
  // Small steps, so that all that goes on beside is met: flushes, merges, deletions in all places.
  IndexOptions options;
  options.own_threads = GetParam() % 2 == 0;
  options.merge_factor = 2 + GetParam() % 3;
  options.buffer_bytes = GetParam() % 3 == 0 ? size_t{64} << 20 : size_t{256} << 10;
  const auto open_index = [&] { return *Index::open(directory_, Index::Mode::write, options); };
  auto index = open_index();
  int serial = 0;
  for (int step = 0; step < 400; ++step) {
    const std::string id = "文档" + std::to_string(random() % 40);
    const unsigned choice = random() % 100;
    if (choice < 55) {
      // Letters only: the analysis would give the parts of "token12" too.
      std::string word = "zz";
      for (int rest = ++serial; rest > 0; rest /= 10) word += static_cast<char>('b' + rest % 10);
      word += "qx";
      std::string text = word + " 共同的内容 shared";
      for (unsigned i = random() % 40; i > 0; --i) text += " Sentence about water and boats number " + std::to_string(random() % 9) + ".";
      text += " 完。";
      ASSERT_TRUE(index->add(make_document(id, text)));
      pending[id] = text;
      words[id] = word;
    } else if (choice < 75) {
      ASSERT_TRUE(index->remove(id));
      pending.erase(id);
    } else if (choice < 90) {
      ASSERT_TRUE(index->commit());
      committed = pending;
    } else {
      if (choice >= 96) {
        ASSERT_TRUE(index->optimize(CancelToken()));
        committed = pending;
        continue;
      }
      if (choice % 2 == 0) {
        ASSERT_TRUE(index->make_visible());
      }
      index.reset();
      index = open_index();
      pending = committed;
      continue;
    }
    if (step % 20 != 19 && step != 399) continue;
    ASSERT_TRUE(index->commit());
    committed = pending;
    ASSERT_EQ(index->stats().documents, committed.size());
    for (int i = 0; i < 40; ++i) {
      const std::string any = "文档" + std::to_string(i);
      const auto document = index->fetch(any);
      ASSERT_EQ(document.is_ok(), committed.contains(any)) << any;
      if (!document) continue;
      ASSERT_EQ(document->text, committed[any]);
      if (committed[any].starts_with(words[any] + " ")) {
        const auto found = ids(find(*index, words[any]));
        ASSERT_EQ(found, std::vector<std::string>{any});
      }
    }
    SearchRequest request;
    request.query = "共同";
    request.top = 1000;
    request.one_per_document = true;
    const auto all = index->search(request, CancelToken());
    ASSERT_TRUE(all);
    ASSERT_EQ(all->hits.size(), committed.size());
    for (const Hit& hit : all->hits) ASSERT_TRUE(committed.contains(hit.passage.document_id));
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, IndexModelTest, testing::Values(1u, 2u, 3u, 4u, 5u));

}  // namespace
}  // namespace wenqu::retrieval
