#include "retrieval/ranking_parameters.h"

#include <gmock/gmock.h>

namespace wenqu::retrieval {
namespace {

TEST(RankingParameters, WhatIsNotNamedKeepsItsDefault) {
  const auto parameters = RankingParameters::parse(R"({"word": {"k1": 2}, "document": 0, "source_priors": {"chat": 0.5}})");
  ASSERT_TRUE(parameters) << parameters.status().to_string();
  EXPECT_EQ(parameters->word.k1, 2);
  EXPECT_EQ(parameters->word.b, RankingParameters().word.b);
  EXPECT_EQ(parameters->document, 0);
  EXPECT_EQ(parameters->source_priors[static_cast<size_t>(Source::chat)], 0.5);
  EXPECT_EQ(parameters->source_priors[static_cast<size_t>(Source::web)], 1);
  EXPECT_EQ(parameters->signals, RankingParameters().signals);
  const auto signals = RankingParameters::parse(R"({"signals": {"order": 2, "near_answer": 0}})");
  ASSERT_TRUE(signals) << signals.status().to_string();
  EXPECT_EQ(signals->signals[static_cast<size_t>(Signal::order)], 2);
  EXPECT_EQ(signals->signals[static_cast<size_t>(Signal::near_answer)], 0);
}

TEST(RankingParameters, AreReadAsTheyAreWritten) {
  RankingParameters parameters;
  parameters.bigram = {0.25, 0.5, 0.125, 2};
  parameters.freshness = 0.75;
  parameters.rescored = 7;
  parameters.nearby = 5;
  parameters.signals[static_cast<size_t>(Signal::late)] = -0.25;
  const std::string json = parameters.to_json();
  const auto read = RankingParameters::parse(json);
  ASSERT_TRUE(read) << read.status().to_string();
  EXPECT_EQ(read->to_json(), json);
  EXPECT_EQ(read->bigram.b, 0.125);
  EXPECT_EQ(read->rescored, 7u);
  EXPECT_EQ(read->nearby, 5u);
  EXPECT_EQ(read->signals, parameters.signals);
}

TEST(RankingParameters, WhatIsWrongIsNamed) {
  const auto where = [](const char* json) {
    const auto read = RankingParameters::parse(json);
    EXPECT_EQ(read.status().code(), StatusCode::invalid_argument) << json;
    return read ? std::string("accepted") : read.status().where();
  };
  EXPECT_EQ(where(R"({"wrod": {}})"), "wrod");
  EXPECT_EQ(where(R"({"word": {"k2": 1}})"), "word.k2");
  EXPECT_EQ(where(R"({"word": {"b": 2}})"), "word.b");
  EXPECT_EQ(where(R"({"word": {"b": "1"}})"), "word.b");
  EXPECT_EQ(where(R"({"word": 3})"), "word");
  EXPECT_EQ(where(R"({"document": -1})"), "document");
  EXPECT_EQ(where(R"({"source_priors": {"fax": 1}})"), "source_priors.fax");
  EXPECT_EQ(where(R"({"signals": {"lat": 1}})"), "signals.lat");
  EXPECT_EQ(where(R"({"signals": {"late": 1000}})"), "signals.late");
  EXPECT_EQ(where(R"({"signals": [1]})"), "signals");
  EXPECT_EQ(where("[]"), "ranking");
  EXPECT_EQ(where("{"), "ranking");
  EXPECT_EQ(where((std::string(100000, '[')).c_str()), "ranking");
}

}  // namespace
}  // namespace wenqu::retrieval
