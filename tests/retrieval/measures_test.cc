#include "retrieval/eval/measures.h"

#include <cmath>
#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>

#include "retrieval/eval/trec_files.h"
#include "test_folder.h"

namespace wenqu::retrieval {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(Measures, AreThoseOfTheirFormulas) {
  const Grades grades{{"a", 1}, {"b", 2}, {"c", 0}, {"d", 1}};
  const Measured measured = measure({"x", "b", "c", "a"}, grades);
  EXPECT_DOUBLE_EQ(measured[Measure::mrr_10], 0.5);
  const double gained = 3 / std::log2(3) + 1 / std::log2(5), ideal = 3 + 1 / std::log2(3) + 1 / std::log2(4);
  EXPECT_DOUBLE_EQ(measured[Measure::ndcg_10], gained / ideal);
  EXPECT_DOUBLE_EQ(measured[Measure::recall_1], 0);
  EXPECT_DOUBLE_EQ(measured[Measure::recall_5], 2.0 / 3);
}

TEST(Measures, OnlyTheFirstTenOrTwentyCount) {
  std::vector<std::string> ranked;
  for (int i = 0; i < 10; ++i) ranked.push_back("x" + std::to_string(i));
  ranked.push_back("a");
  const Measured measured = measure(ranked, {{"a", 1}});
  EXPECT_EQ(measured[Measure::mrr_10], 0);
  EXPECT_EQ(measured[Measure::ndcg_10], 0);
  EXPECT_EQ(measured[Measure::recall_10], 0);
  EXPECT_EQ(measured[Measure::recall_20], 1);
}

TEST(Measures, ARepeatedDocumentCountsOnce) {
  const Measured measured = measure({"a", "a", "a", "b"}, {{"a", 1}, {"b", 1}});
  EXPECT_DOUBLE_EQ(measured[Measure::ndcg_10], 1);
  EXPECT_DOUBLE_EQ(measured[Measure::recall_5], 1);
}

TEST(Measures, AQuestionThatTheRunLacksFoundNothing) {
  const auto measured = measure_run({{"q1", {"a"}}}, {{"q1", {{"a", 1}}}, {"q2", {{"a", 1}}}, {"q3", {{"a", 0}}}});
  ASSERT_EQ(measured.size(), 2u);  // q3 has nothing to find
  EXPECT_EQ(measured.at("q1")[Measure::mrr_10], 1);
  EXPECT_EQ(measured.at("q2")[Measure::mrr_10], 0);
}

TEST(Measures, TheIntervalHoldsTheMeanAndShrinksWithMoreValues) {
  std::vector<double> few, many;
  for (int i = 0; i < 2000; ++i) (i < 20 ? few : many).push_back(i % 2);
  const Interval wide = confidence(few), narrow = confidence(many);
  EXPECT_DOUBLE_EQ(wide.mean, 0.5);
  EXPECT_LT(wide.low, 0.5);
  EXPECT_GT(wide.high, 0.5);
  EXPECT_LT(narrow.high - narrow.low, (wide.high - wide.low) / 5);
  EXPECT_NEAR(narrow.high - narrow.low, 2 * 1.96 * 0.5 / std::sqrt(1980), 0.005);
  EXPECT_EQ(confidence({}).mean, 0);
}

TEST(Measures, ChanceTellsARealDifferenceFromNone) {
  std::vector<double> better(50, 0.1), none;
  for (int i = 0; i < 50; ++i) none.push_back(i % 2 ? 0.1 : -0.1);
  EXPECT_LT(chance(better), 0.001);
  EXPECT_GT(chance(none), 0.5);
  EXPECT_EQ(chance({}), 1);
}

class TrecFiles : public testing::Test {
 protected:
  ~TrecFiles() override {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  std::string write(const std::string& text) {
    const std::string path = folder_ + "/file";
    std::ofstream(path) << text;
    return path;
  }
  const std::string folder_ = make_test_folder();
};

TEST_F(TrecFiles, AreReadAsTrecWritesThem) {
  const auto questions = read_questions(write("q1\twhere is\tthe ferry\r\n\nq2\t渡口在哪里\n"));
  ASSERT_TRUE(questions);
  ASSERT_EQ(questions->size(), 2u);
  EXPECT_EQ((*questions)[0].text, "where is\tthe ferry");
  const auto judgements = read_judgements(write("q1 0 d1 2\nq1 0 d2 0\n"));
  ASSERT_TRUE(judgements);
  EXPECT_EQ(judgements->at("q1").at("d1"), 2);
  const auto run = read_run(write("q1 Q0 d2 2 0.5 me\nq1 Q0 d1 1 0.9 me\n"));
  ASSERT_TRUE(run);
  EXPECT_THAT(run->at("q1"), ElementsAre("d1", "d2"));
}

TEST_F(TrecFiles, AWrongLineIsNamed) {
  for (const auto& status : {read_questions(write("q1\ta\nno tab\n")).status(), read_questions(write("q1\ta\nq1\tb\n")).status(),
                             read_judgements(write("q1 0 d1 1\nq1 0 d1 x\n")).status(),
                             read_run(write("q1 Q0 d1 1 1 me\nq1 Q0 d1\n")).status()}) {
    EXPECT_EQ(status.code(), StatusCode::invalid_argument);
    EXPECT_THAT(status.where(), HasSubstr("file:2"));
  }
  EXPECT_EQ(read_run(folder_ + "/none").status().code(), StatusCode::not_found);
}

}  // namespace
}  // namespace wenqu::retrieval
