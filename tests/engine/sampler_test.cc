#include "engine/sampler/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <random>
#include <set>
#include <tuple>

#include "engine/sampler/log_probability.h"
#include "engine/stop_text.h"
#include "tests/support/rounds.h"

namespace wenqu::engine {
namespace {

std::map<int32_t, int> draw(const SamplingOptions& options, const std::vector<float>& logits, int count) {
  Sampler sampler = *Sampler::create(options);
  std::map<int32_t, int> drawn;
  for (int i = 0; i < count; ++i) ++drawn[*sampler.sample(logits)];
  return drawn;
}

TEST(Sampler, TemperatureZeroTakesTheBestAndTheLowerOfEquals) {
  const auto drawn = draw({.temperature = 0, .top_p = 1}, {1, 3, 3, 2}, 20);
  EXPECT_EQ(drawn, (std::map<int32_t, int>{{1, 20}}));
}

TEST(Sampler, FrequenciesFollowTheProbabilities) {
  const std::vector<float> logits = {std::log(0.5f), std::log(0.3f), std::log(0.15f), std::log(0.05f)};
  auto drawn = draw({.temperature = 1, .top_p = 1, .seed = 3}, logits, 40000);
  EXPECT_NEAR(drawn[0] / 40000.0, 0.5, 0.01);
  EXPECT_NEAR(drawn[1] / 40000.0, 0.3, 0.01);
  EXPECT_NEAR(drawn[2] / 40000.0, 0.15, 0.01);
  EXPECT_NEAR(drawn[3] / 40000.0, 0.05, 0.01);
}

TEST(Sampler, TheTemperatureShapesWhatTopPSees) {
  // At temperature 1 the two best reach 0.8; at 0.5 the best alone has 0.25 / (0.25 + 0.09 + 0.04) = 0.66
  // and the two best have 0.89.
  const std::vector<float> logits = {std::log(0.5f), std::log(0.3f), std::log(0.2f)};
  EXPECT_EQ(draw({.temperature = 1, .top_p = 0.6f}, logits, 500).size(), 2u);
  EXPECT_EQ(draw({.temperature = 0.5f, .top_p = 0.6f}, logits, 500).size(), 1u);
  EXPECT_EQ(draw({.temperature = 1, .top_p = 0.85f}, logits, 500).size(), 3u);
}

TEST(Sampler, TopKKeepsTheBest) {
  std::vector<float> logits(1000);
  for (size_t i = 0; i < logits.size(); ++i) logits[i] = static_cast<float>((i * 37) % 1000) * 0.001f;
  const auto drawn = draw({.temperature = 5, .top_p = 1, .top_k = 3}, logits, 300);
  EXPECT_EQ(drawn.size(), 3u);
  for (const auto& [id, count] : drawn) EXPECT_GE(logits[static_cast<size_t>(id)], 0.997f);
}

TEST(Sampler, TopPKeepsTheFewestThatReachItAndTopKTheLowerOfEquals) {
  const auto ids = [](const std::map<int32_t, int>& drawn) {
    std::set<int32_t> set;
    for (const auto& [id, count] : drawn) set.insert(id);
    return set;
  };
  const std::vector<float> logits = {std::log(0.1f), std::log(0.4f), std::log(0.2f), std::log(0.3f)};
  EXPECT_EQ(ids(draw({.temperature = 1, .top_p = 0.65f}, logits, 2000)), (std::set<int32_t>{1, 3}));
  EXPECT_EQ(ids(draw({.temperature = 1, .top_p = 0.75f}, logits, 2000)), (std::set<int32_t>{1, 2, 3}));
  EXPECT_EQ(ids(draw({.temperature = 1, .top_p = 1}, logits, 2000)), (std::set<int32_t>{0, 1, 2, 3}));
  EXPECT_EQ(ids(draw({.temperature = 1, .top_p = 1, .top_k = 2}, {1, 2, 2, 2}, 2000)), (std::set<int32_t>{1, 2}));
}

TEST(Sampler, ALargeFlatVocabularyIsCutExactly) {
  const std::vector<float> logits(5000, 1.0f);
  const auto drawn = draw({.temperature = 1, .top_p = 0.1f, .seed = 5}, logits, test::rounds(20000));
  EXPECT_LE(drawn.rbegin()->first, 500);
  EXPECT_GT(drawn.size(), 450u);
}

TEST(Sampler, TheSameSeedGivesTheSameChoices) {
  std::vector<float> logits(50);
  for (size_t i = 0; i < logits.size(); ++i) logits[i] = static_cast<float>(i % 7);
  Sampler a = *Sampler::create({.seed = 9}), b = *Sampler::create({.seed = 9});
  for (int i = 0; i < 200; ++i) EXPECT_EQ(*a.sample(logits), *b.sample(logits));
}

TEST(Sampler, MinPDropsWhatIsUnlikelyBesideTheBest) {
  const std::vector<float> logits = {std::log(0.05f), std::log(0.5f), std::log(0.2f), std::log(0.25f)};
  for (float top_p : {0.99f, 1.0f}) {
    const auto drawn = draw({.temperature = 1, .top_p = top_p, .min_p = 0.45f}, logits, 3000);
    EXPECT_EQ(drawn.size(), 2u);
    EXPECT_NEAR(drawn.at(1) / 3000.0, 2.0 / 3, 0.04);
  }
  EXPECT_EQ(draw({.temperature = 1, .top_p = 1, .min_p = 1}, logits, 50).size(), 1u);
}

TEST(Sampler, PenaltiesCountWhatWasSaidAndGenerated) {
  const std::vector<int32_t> prompt = {0, 0, -5, 99}, generated = {1, 1, 2};
  const SamplingHistory history{prompt, generated};
  const auto best = [&](SamplingOptions options, std::vector<float> logits) {
    options.temperature = 0;
    Sampler sampler = *Sampler::create(options);
    const int32_t first = *sampler.sample(logits, history);
    EXPECT_EQ(*sampler.sample(logits, history), first);   // nothing is left behind by a call
    return first;
  };
  EXPECT_EQ(best({}, {2, 1.9f, 1.8f, 1.5f}), 0);
  EXPECT_EQ(best({.repetition_penalty = 1.2f}, {2, 1.9f, 1.8f, 1.7f}), 3);
  EXPECT_EQ(best({.repetition_penalty = 1.2f}, {-1, -1, -1, -1.1f}), 3);   // negative logits sink too
  EXPECT_EQ(best({.repetition_penalty = 1.2f}, {2, 1.9f, 1.8f, 1.5f}), 0);
  EXPECT_EQ(best({.presence_penalty = 0.5f}, {1, 2, 1.9f, 1.55f}), 3);      // 1.5 and 1.4 are left, once each
  EXPECT_EQ(best({.presence_penalty = 0.5f}, {2, 1.9f, 1.9f, 1}), 0);       // the prompt does not count
  EXPECT_EQ(best({.frequency_penalty = 0.5f}, {1, 2.2f, 1.9f, 1.3f}), 2);   // 1.2 and 1.4
}

TEST(Sampler, BiasAndMaskDecideWhatMayBeChosen) {
  const auto best = [](SamplingOptions options) {
    options.temperature = 0;
    return Sampler::create(options)->sample(std::vector<float>{1, 2, 3});
  };
  EXPECT_EQ(*best({.logit_bias = {{0, 5.0f}, {77, 9.0f}}}), 0);
  EXPECT_EQ(*best({.logit_bias = {{2, -INFINITY}}}), 1);
  EXPECT_EQ(*best({.mask = [](std::span<float> logits) { logits[1] = logits[2] = -INFINITY; }}), 0);
  EXPECT_EQ(best({.mask = [](std::span<float> logits) { std::fill(logits.begin(), logits.end(), -INFINITY); }}).status().code(),
            StatusCode::invalid_argument);
}

TEST(Sampler, LogProbabilitiesAreThoseOfTheModel) {
  const std::vector<float> logits = {std::log(0.2f), std::log(0.5f) + 100 - 100, std::log(0.1f), std::log(0.2f), NAN};
  const auto told = log_probabilities(logits, 2, 3);
  ASSERT_EQ(told.size(), 4u);
  EXPECT_EQ(told[0].token, 2);
  EXPECT_NEAR(std::exp(told[0].log_probability), 0.1, 1e-6);
  EXPECT_EQ(told[1].token, 1);
  EXPECT_NEAR(std::exp(told[1].log_probability), 0.5, 1e-6);
  EXPECT_EQ(told[2].token, 0);   // the lower of equals first
  EXPECT_EQ(told[3].token, 3);
  EXPECT_EQ(log_probabilities(logits, 0, 99).size(), 6u);
  EXPECT_EQ(log_probabilities(logits, 0, 0).size(), 1u);
}

TEST(StopText, HoldsBackTheBeginningOfAStopAndNothingElse) {
  StopText stop({"END", "\n\n", ""});
  EXPECT_EQ(stop.push("a\n"), "a");
  EXPECT_EQ(stop.push("b"), "\nb");
  EXPECT_EQ(stop.push("E"), "");
  EXPECT_EQ(stop.push("E"), "E");
  EXPECT_EQ(stop.push("ND never told"), "");
  EXPECT_TRUE(stop.stopped());
  EXPECT_EQ(stop.push("more"), "");
  EXPECT_EQ(stop.finish(), "");

  StopText open({"END"});
  EXPECT_EQ(open.push("xEN"), "x");
  EXPECT_EQ(open.finish(), "EN");
  EXPECT_FALSE(open.stopped());
}

TEST(StopText, TextInAnyPiecesIsCutAtTheFirstStop) {
  const std::string text = "aababcabcdab", stops[] = {"abcd", "bcab"};
  for (size_t step = 1; step <= text.size(); ++step) {
    StopText stop({stops[0], stops[1]});
    std::string told;
    for (size_t i = 0; i < text.size(); i += step) told += stop.push(text.substr(i, step));
    told += stop.finish();
    EXPECT_TRUE(stop.stopped());
    EXPECT_EQ(told, "aaba") << step;
  }
}

TEST(Sampler, DamagedLogitsAreAnErrorOrPassedOver) {
  Sampler sampler = *Sampler::create({});
  EXPECT_EQ(sampler.sample(std::vector<float>{NAN, NAN}).status().code(), StatusCode::corrupt);
  EXPECT_EQ(sampler.sample(std::vector<float>{-INFINITY}).status().code(), StatusCode::corrupt);
  EXPECT_EQ(sampler.sample(std::vector<float>{INFINITY, 1}).status().code(), StatusCode::corrupt);
  EXPECT_EQ(sampler.sample({}).status().code(), StatusCode::corrupt);
  EXPECT_EQ(*sampler.sample(std::vector<float>{NAN, 1, -INFINITY}), 1);
}

TEST(Sampler, UnusableOptionsNameTheirField) {
  EXPECT_EQ(Sampler::create({.temperature = -1}).status().where(), "temperature");
  EXPECT_EQ(Sampler::create({.temperature = NAN}).status().where(), "temperature");
  EXPECT_EQ(Sampler::create({.top_p = 0}).status().where(), "top_p");
  EXPECT_EQ(Sampler::create({.top_p = 1.5f}).status().where(), "top_p");
  EXPECT_EQ(Sampler::create({.min_p = 2}).status().where(), "min_p");
  EXPECT_EQ(Sampler::create({.repetition_penalty = 0}).status().where(), "repetition_penalty");
  EXPECT_EQ(Sampler::create({.presence_penalty = NAN}).status().where(), "presence_penalty");
  EXPECT_EQ(Sampler::create({.frequency_penalty = 1000}).status().where(), "frequency_penalty");
  EXPECT_EQ(Sampler::create({.logit_bias = {{-1, 1.0f}}}).status().where(), "logit_bias");
  EXPECT_EQ(Sampler::create({.top_k = -1}).status().where(), "top_k");
}

// What a device would tell of a row, its total as wrong as it may be.
TopLogits top_of(const std::vector<float>& logits, const TopRequest& request, double error) {
  TopLogits top;
  for (size_t i = 0; i < logits.size(); ++i)
    if (logits[i] > -INFINITY) top.best.emplace_back(logits[i], static_cast<int32_t>(i));
  std::stable_sort(top.best.begin(), top.best.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
  top.temperature = request.temperature;
  for (const auto& [logit, id] : top.best) top.total += std::exp((static_cast<double>(logit) - top.best[0].first) / request.temperature);
  top.total *= 1 + error * TopLogits::kTotalError;
  top.all = top.best.size() <= request.count;
  top.best.resize(std::min(top.best.size(), request.count));
  return top;
}

// Rows of several shapes: a steep one, a flat one, coarse ones full of equals, short ones, and with numbers that are none.
std::vector<std::vector<float>> rows_of_logits() {
  std::mt19937 random(5);
  std::normal_distribution<float> normal;
  std::vector<std::vector<float>> rows;
  for (const auto& [size, spread, step] : {std::tuple(3000, 6.0f, 0.0f), std::tuple(3000, 1.0f, 0.0f), std::tuple(3000, 2.0f, 0.5f), std::tuple(3000, 0.2f, 1.0f),
                                           std::tuple(200, 3.0f, 0.0f), std::tuple(257, 0.5f, 0.25f), std::tuple(1, 1.0f, 0.0f)}) {
    std::vector<float>& row = rows.emplace_back();
    for (int i = 0; i < size; ++i) {
      const float value = normal(random) * spread;
      row.push_back(step > 0 ? std::nearbyint(value / step) * step : value);
    }
  }
  rows.push_back(rows[0]);
  for (size_t i = 0; i < rows.back().size(); i += 3) rows.back()[i] = i % 2 ? NAN : -INFINITY;
  return rows;
}

TEST(Sampler, ChoosesFromTheBestLogitsWhatItChoosesFromAll) {
  size_t chosen = 0, asked = 0;
  for (const std::vector<float>& row : rows_of_logits())
    for (const SamplingOptions& options : {
             SamplingOptions{.temperature = 0}, SamplingOptions{.temperature = 0.6f, .top_p = 0.95f}, SamplingOptions{.temperature = 1.3f, .top_p = 0.5f},
             SamplingOptions{.temperature = 0.05f, .top_p = 0.999f}, SamplingOptions{.temperature = 1, .top_p = 1, .top_k = 1},
             SamplingOptions{.temperature = 1, .top_p = 1, .top_k = 40}, SamplingOptions{.temperature = 2, .top_p = 0.7f, .top_k = 255},
             SamplingOptions{.temperature = 1, .top_p = 1, .min_p = 0.1f}, SamplingOptions{.temperature = 1, .top_p = 0.9f, .min_p = 0.3f},
             SamplingOptions{.temperature = 3, .top_p = 0.9f, .top_k = 20, .min_p = 0.01f}})
      for (const double error : {-0.9, 0.0, 0.9})
        for (uint64_t seed = 0; seed < 12; ++seed) {
          SamplingOptions own = options;
          own.seed = seed;
          Sampler from_all = *Sampler::create(own), from_best = *Sampler::create(own);
          const auto request = from_best.top_request();
          ASSERT_TRUE(request);
          const TopLogits top = top_of(row, *request, error);
          ++asked;
          if (!request->enough(top)) continue;   // nothing was drawn: the row may be asked for
          for (int i = 0; i < 3; ++i, ++chosen)
            ASSERT_EQ(*from_best.sample_from(top), *from_all.sample(row)) << "temperature " << own.temperature << ", top-p " << own.top_p << ", top-k " << own.top_k
                                                                      << ", min-p " << own.min_p << ", seed " << seed << ", row of " << row.size();
        }
  EXPECT_GT(chosen, asked * 2) << "the best are seldom enough";
}

TEST(Sampler, AsksForTheWholeRowWhereTheBestMayNotBeEnough) {
  const std::vector<float> flat(3000, 1.0f);
  Sampler sampler = *Sampler::create({.temperature = 1, .top_p = 0.9f});
  EXPECT_FALSE(sampler.enough(top_of(flat, *sampler.top_request(), 0)));
  // Two tokens of which one alone reaches top-p by a hair: the total decides, and is not known so well.
  std::vector<float> hair(3000, -39.0f);
  hair[7] = std::log(0.8f), hair[8] = std::log(0.2f);
  Sampler close = *Sampler::create({.temperature = 1, .top_p = 0.8f});
  EXPECT_FALSE(close.enough(top_of(hair, *close.top_request(), 0)));
  Sampler clear = *Sampler::create({.temperature = 1, .top_p = 0.79f});
  EXPECT_TRUE(clear.enough(top_of(hair, *clear.top_request(), 0)));
  // A total of another temperature tells nothing.
  EXPECT_FALSE((*Sampler::create({.temperature = 1.1f, .top_p = 0.79f})).enough(top_of(hair, *clear.top_request(), 0)));
  for (const SamplingOptions& options :
       {SamplingOptions{.temperature = 1, .top_p = 1}, SamplingOptions{.temperature = 1, .top_k = 256}, SamplingOptions{.repetition_penalty = 1.1f},
        SamplingOptions{.temperature = 0, .logit_bias = {{1, 2.0f}}}, SamplingOptions{.mask = [](std::span<float>) {}}})
    EXPECT_FALSE((*Sampler::create(options)).top_request());
}

TEST(Sampler, TheBestOfARowWithoutANumberAreNoneToChooseFrom) {
  Sampler sampler = *Sampler::create({.temperature = 0});
  EXPECT_EQ(sampler.sample_from(TopLogits{}).status().code(), StatusCode::corrupt);
  EXPECT_EQ(sampler.sample_from(TopLogits{.best = {{INFINITY, 3}}}).status().code(), StatusCode::corrupt);
}

}  // namespace
}  // namespace wenqu::engine
