// What an index is taught, end to end: kept with it, held to it, found by it.
#include <gmock/gmock.h>

#include <cerrno>
#include <filesystem>
#include <fstream>

#include "index_fixture.h"
#include "retrieval/analysis/lexicon.h"
#include "retrieval/collections.h"
#include "retrieval/index/open_commit.h"
#include "retrieval/index_backup.h"
#include "retrieval/index_check.h"
#include "retrieval/index_migrate.h"
#include "retrieval/index_report.h"
#include "retrieval/rank/bm25.h"
#include "retrieval/query/snapshot_counts.h"
#include "retrieval/rank/other_words.h"
#include "retrieval/store/file_probe.h"
#include "retrieval/store/manifest.h"

namespace wenqu::retrieval {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

VocabularyChange words(std::vector<UserWord> list) {
  VocabularyChange change;
  change.words = std::move(list);
  return change;
}
VocabularyChange synonyms(std::string_view text) {
  VocabularyChange change;
  change.synonyms = *parse_synonyms(text);
  return change;
}
VocabularyChange pinyin(bool on) {
  VocabularyChange change;
  change.pinyin = on;
  return change;
}
IndexOptions with(VocabularyChange change) {
  IndexOptions options;
  options.vocabulary = std::move(change);
  return options;
}

class WordsTest : public IndexTest {
 protected:
  void make(VocabularyChange change, const std::vector<Document>& documents) {
    auto index = open(Index::Mode::write, with(std::move(change)));
    ASSERT_TRUE(index);
    for (const Document& document : documents) ASSERT_TRUE(index->add(document));
    ASSERT_TRUE(index->commit());
  }
  Vocabulary kept() {
    const auto snapshot = open_newest_commit(IndexPaths(directory_), nullptr);
    EXPECT_TRUE(snapshot) << snapshot.status().to_string();
    return snapshot ? (*snapshot)->lexicon()->vocabulary() : Vocabulary();
  }
};

TEST_F(WordsTest, AreKeptWithTheIndexAndNeedNotBeNamedAgain) {
  make(words({{"渠塘活水", 1}, {"T恤", 1}}), {make_document("a", "渠塘活水很清"), make_document("b", "活水与渠塘"), make_document("c", "白T恤一件")});
  EXPECT_EQ(kept().words.size(), 2u);
  EXPECT_THAT(ids(find(*open(Index::Mode::read), "渠塘活水")), ElementsAre("a", "b"));
  EXPECT_THAT(ids(find(*open(Index::Mode::read), "活水")), UnorderedElementsAre("a", "b"));
  {
    auto index = open(Index::Mode::write);
    ASSERT_TRUE(index->add(make_document("d", "又见渠塘活水")));
    ASSERT_TRUE(index->commit());
  }
  EXPECT_THAT(ids(find(*open(Index::Mode::read), "渠塘活水", 2)), UnorderedElementsAre("a", "d"));
  EXPECT_EQ(kept().words.size(), 2u);
  const auto report = report_index(directory_, 0, CancelToken());
  ASSERT_TRUE(report);
  EXPECT_EQ(report->user_words, 2u);
}

TEST_F(WordsTest, OthersThanTheIndexHasAreRefusedWithAWayOut) {
  make(words({{"渠塘活水", 1}}), {make_document("a", "渠塘活水很清")});
  EXPECT_TRUE(Index::open(directory_, Index::Mode::write, with(words({{"渠塘活水", 1}}))));
  for (const auto mode : {Index::Mode::read, Index::Mode::write})
    for (const VocabularyChange& other : {words({{"活水很清", 1}}), words({}), words({{"渠塘活水", 0.5}}), pinyin(true)}) {
      const auto refused = Index::open(directory_, mode, with(other));
      EXPECT_EQ(refused.status().code(), StatusCode::version_mismatch);
      EXPECT_THAT(refused.status().message(), HasSubstr("wenqu migrate"));
    }
  EXPECT_EQ(Index::open(directory_, Index::Mode::write, with(words({{"水", 1}}))).status().code(), StatusCode::invalid_argument);
  EXPECT_EQ(Index::open(directory_, Index::Mode::read, with(synonyms("a, b"))).status().code(), StatusCode::unsupported);
}

TEST_F(WordsTest, AnIndexWithoutDocumentsLearnsAnything) {
  make(words({{"渠塘活水", 1}}), {});
  make(words({{"活水很清", 1}}), {make_document("a", "活水很清")});
  EXPECT_EQ(kept().words.front().text, "活水很清");
}

TEST_F(WordsTest, MigrationAnalysesAllDocumentsAgain) {
  make({}, {make_document("a", "渠塘活水很清"), make_document("b", "清水")});
  auto report = migrate_index(directory_, {}, CancelToken(), words({{"渠塘活水", 1}}));
  ASSERT_TRUE(report) << report.status().to_string();
  EXPECT_EQ(report->documents, 2u);
  EXPECT_EQ(kept().words.size(), 1u);
  EXPECT_EQ(migrate_index(directory_, {}, CancelToken(), words({{"渠塘活水", 1}}))->documents, 0u);
  EXPECT_EQ(migrate_index(directory_, {}, CancelToken())->documents, 0u);
  EXPECT_EQ(migrate_index(directory_, {}, CancelToken(), synonyms("清水, 活水"))->documents, 0u);
  EXPECT_EQ(kept().synonyms.size(), 1u);
  EXPECT_EQ(migrate_index(directory_, {}, CancelToken(), words({}))->documents, 2u);
  EXPECT_TRUE(kept().words.empty());
  EXPECT_EQ(kept().synonyms.size(), 1u);
  EXPECT_EQ(find(*open(Index::Mode::read), "活水").hits.size(), 2u);
  EXPECT_EQ(migrate_index(directory_, {}, CancelToken(), words({{"x", 1}})).status().code(), StatusCode::invalid_argument);
}

TEST_F(WordsTest, ACommitThatFailsAnywhereKeepsTheWordsOfBefore) {
  make(synonyms("土豆, 马铃薯"), {make_document("a", "土豆")});
  bool done = false;
  for (int failing = 1; failing < 200 && !done; ++failing) {
    int operation = 0;
    set_file_fault_for_testing([&](FileOperation, const std::string&) { return ++operation >= failing ? EIO : 0; });
    {
      const auto index = Index::open(directory_, Index::Mode::write, with(synonyms("番茄, 西红柿")));
      done = index && (*index)->commit();
    }
    set_file_fault_for_testing(nullptr);
    const Vocabulary now = kept();
    ASSERT_EQ(now.synonyms.size(), 1u) << failing;
    if (now.synonyms[0].from[0] == "番茄") {
      if (done) break;
      make(synonyms("土豆, 马铃薯"), {});   // visible, though it was not sure to last
    }
  }
  EXPECT_TRUE(done);
  EXPECT_TRUE(check_index(directory_, CancelToken())->newest.whole());
}

TEST_F(WordsTest, TheirFileIsCheckedAndCopiedWithTheCommit) {
  make(words({{"渠塘活水", 1}}), {make_document("a", "渠塘活水很清")});
  make(synonyms("清水, 活水"), {});
  const std::string copy = root_ + "/copy";
  ASSERT_TRUE(backup_index(directory_, copy, {}, CancelToken()));
  EXPECT_EQ((*open_newest_commit(IndexPaths(copy), nullptr))->lexicon()->vocabulary(), kept());
  EXPECT_TRUE((*Index::open(copy, Index::Mode::read))->scrub(CancelToken()));
  const std::string name = (*open_newest_commit(IndexPaths(directory_), nullptr))->vocabulary_file();
  ASSERT_FALSE(name.empty());
  const std::string path = directory_ + "/lucene/" + name;
  std::fstream(path, std::ios::in | std::ios::out).seekp(30).put('!');
  const auto check = check_index(directory_, CancelToken());
  ASSERT_TRUE(check);
  EXPECT_FALSE(check->newest.whole());
  EXPECT_EQ(Index::open(directory_, Index::Mode::read).status().code(), StatusCode::corrupt);
  // The commit before has its own.
  ASSERT_TRUE(repair_index(directory_, CancelToken()));
  EXPECT_TRUE(kept().synonyms.empty());
  EXPECT_EQ(kept().words.size(), 1u);
}

TEST_F(WordsTest, FilesThatNoCommitNeedsGo) {
  for (const char* rules : {"a1, b1", "a2, b2", "a3, b3", "a4, b4"}) make(synonyms(rules), {});
  size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(directory_ + "/lucene"))
    files += entry.path().filename().string().starts_with("words_");
  EXPECT_EQ(files, 2u);   // of the last two commits
  make(synonyms(""), {});
  EXPECT_EQ(kept(), Vocabulary());
}

TEST_F(WordsTest, SynonymsFindOtherWordsAndChangeWithoutIndexingAgain) {
  make(synonyms("土豆, 马铃薯, potato\n心臟病發作 => myocardial infarction"),
       {make_document("a", "马铃薯怎样种"), make_document("b", "growing potatoes at home"), make_document("c", "土豆怎样种"),
        make_document("d", "signs of a myocardial infarction"), make_document("e", "小麦怎样种")});
  auto reader = open(Index::Mode::read);
  EXPECT_THAT(ids(find(*reader, "土豆")), ElementsAre("c", "a", "b"));
  EXPECT_THAT(ids(find(*reader, "馬鈴薯")).front(), "a");
  EXPECT_THAT(ids(find(*reader, "potato")), UnorderedElementsAre("a", "b", "c"));
  EXPECT_THAT(ids(find(*reader, "心脏病发作")), Contains("d"));
  EXPECT_THAT(ids(find(*reader, "infarction")), ElementsAre("d"));
  const SearchResponse marked = find(*reader, "土豆");
  ASSERT_EQ(marked.hits.size(), 3u);
  EXPECT_THAT(marked.hits[1].matches, Contains(CharRange{0, 3}));   // 马铃薯
  make(synonyms("土豆, 小麦"), {});
  ASSERT_TRUE(reader->refresh());
  EXPECT_THAT(ids(find(*reader, "土豆")), ElementsAre("c", "e"));
}

TEST_F(WordsTest, NoSynonymsOutweighWhatWasAsked) {
  std::vector<Document> documents{make_document("asked", "土豆与牛肉"), make_document("all", "马铃薯 洋芋 山药蛋 potato"),
                                  make_document("rare", "山药蛋与牛肉")};
  for (int i = 0; i < 40; ++i) documents.push_back(make_document("t" + std::to_string(i), "土豆与白菜"));
  make(synonyms("土豆, 马铃薯, 洋芋, 山药蛋, potato"), documents);
  EXPECT_THAT(ids(find(*open(Index::Mode::read), "土豆与牛肉")).front(), "asked");
  const auto snapshot = *open_newest_commit(IndexPaths(directory_), nullptr);
  for (const double s : {0.0, 0.1, 0.5, 1.0}) {
    RankingParameters parameters;
    parameters.synonyms = s;
    std::vector<Term> terms = Analyzer(snapshot->lexicon()).analyze_question("土豆");
    std::vector<QuestionTerm> asked = search_terms(terms);
    const size_t own = asked.size();
    SnapshotCounts counts(*snapshot);
    ASSERT_TRUE(add_other_words(snapshot->lexicon(), counts, "土豆", parameters, asked, terms));
    double of_own = 0, of_others = 0;
    for (size_t i = 0; i < asked.size(); ++i)
      for (const TermField field : fields_of(asked[i].term.kind)) {
        const double weight = asked[i].share * term_weight(bm25_parameters(parameters, field), snapshot->passages(),
                                                           *snapshot->holders(field, asked[i].key));
        (i < own ? of_own : of_others) += weight;
      }
    EXPECT_LE(of_others, of_own * std::min(1.0, 4 * s) * 1.000001);
    EXPECT_EQ(s > 0, asked.size() > own);
  }
}

TEST_F(WordsTest, AQuestionWithoutSynonymsIsAskedAsItStands) {
  make(synonyms("土豆, 马铃薯"), {make_document("a", "小麦")});
  const auto snapshot = *open_newest_commit(IndexPaths(directory_), nullptr);
  std::vector<Term> terms = Analyzer().analyze_question("小麦怎样种");
  std::vector<QuestionTerm> asked = search_terms(terms);
  const size_t size = asked.size();
  SnapshotCounts counts(*snapshot);
  ASSERT_TRUE(add_other_words(snapshot->lexicon(), counts, "小麦怎样种", RankingParameters(), asked, terms));
  EXPECT_EQ(asked.size(), size);
}

TEST_F(WordsTest, ManySynonymsOfManyWordsAreAskedForUpToALimit) {
  std::string rules, question;
  for (int i = 0; i < 500; ++i) {
    const std::string word = "w" + std::to_string(i);
    rules += word + ", x" + std::to_string(i) + ", y" + std::to_string(i) + ", z" + std::to_string(i) + "\n";
    question += word + " ";
  }
  make(synonyms(rules), {make_document("a", "x0"), make_document("b", "w499")});
  EXPECT_THAT(ids(find(*open(Index::Mode::read), question)), UnorderedElementsAre("a", "b"));
}

TEST_F(WordsTest, PinyinFindsTitlesAndWords) {
  make(pinyin(true), {make_document("pku", "一所高等学府。", "北京大学"), make_document("cq", "重庆的火锅很辣"),
                      make_document("bank", "银行今天不开门"), make_document("en", "an hotel in Shanghai"), make_document("bj", "北京在下雨"),
                      make_document("green", "一片绿色")});
  const auto index = open(Index::Mode::read);
  for (const char* question : {"beijing daxue", "beijingdaxue", "bjdx", "BeiJing DaXue", "bei jing da xue"})
    EXPECT_EQ(ids(find(*index, question)).front(), "pku") << question;
  EXPECT_THAT(ids(find(*index, "chongqing huoguo")), ElementsAre("cq"));
  EXPECT_THAT(ids(find(*index, "yinhang")), ElementsAre("bank"));
  EXPECT_THAT(ids(find(*index, "beijing")), UnorderedElementsAre("pku", "bj"));
  for (const char* question : {"lüse", "LVSE", "luse"}) EXPECT_THAT(ids(find(*index, question)), ElementsAre("green")) << question;
  EXPECT_THAT(ids(find(*index, "Shanghai")), ElementsAre("en"));   // a word as it stands
  EXPECT_THAT(ids(find(*index, "qwertyuiop")), IsEmpty());
  EXPECT_THAT(ids(find(*index, std::string(5000, 'a'))), IsEmpty());
  EXPECT_THAT(find(*index, "huoguo").hits.at(0).matches, ElementsAre(CharRange{3, 5}));
  EXPECT_TRUE(check_index(directory_, CancelToken())->newest.whole());
}

TEST_F(WordsTest, PinyinIsThereOnlyWhereItWasWanted) {
  make({}, {make_document("bj", "北京在下雨")});
  EXPECT_THAT(ids(find(*open(Index::Mode::read), "beijing")), IsEmpty());
  ASSERT_EQ(migrate_index(directory_, {}, CancelToken(), pinyin(true))->documents, 1u);
  EXPECT_THAT(ids(find(*open(Index::Mode::read), "beijing")), ElementsAre("bj"));
  ASSERT_EQ(migrate_index(directory_, {}, CancelToken(), pinyin(false))->documents, 1u);
  EXPECT_THAT(ids(find(*open(Index::Mode::read), "beijing")), IsEmpty());
}

TEST_F(WordsTest, SeveralIndexesAreAskedTogetherWhereTheyWereReadAlike) {
  const std::string first = root_ + "/first", second = root_ + "/second", third = root_ + "/third";
  const auto fill = [](const std::string& directory, VocabularyChange change, const Document& document) {
    auto index = Index::open(directory, Index::Mode::write, with(std::move(change)));
    ASSERT_TRUE(index);
    ASSERT_TRUE((*index)->add(document));
    ASSERT_TRUE((*index)->commit());
  };
  fill(first, synonyms("土豆, 马铃薯"), make_document("a", "马铃薯"));
  fill(second, {}, make_document("b", "马铃薯"));
  fill(third, pinyin(true), make_document("c", "马铃薯"));
  auto together = Index::open_together({first, second});
  ASSERT_TRUE(together) << together.status().to_string();
  EXPECT_THAT(ids(find(**together, "土豆")), UnorderedElementsAre("a", "b"));
  EXPECT_EQ(Index::open_together({first, third}).status().code(), StatusCode::version_mismatch);
}

}  // namespace
}  // namespace wenqu::retrieval
