#include "engine/generate.h"

#include <gtest/gtest.h>

#include <thread>

#include "tests/engine/model_fixture.h"

namespace wenqu::engine {
namespace {

using test::ReferenceOptions;

constexpr DraftOptions kAlways{.max_tokens = 7, .always = true};

// What a generation told and left behind.
struct Outcome {
  StatusCode code = StatusCode::ok;
  StopReason reason = StopReason::end_of_turn;
  std::vector<TokenId> told;
  std::string text;
  std::vector<std::pair<TokenId, float>> probabilities;
  std::vector<TokenId> timeline;
  std::vector<float> logits;
  bool operator==(const Outcome&) const = default;
};

struct Task {
  SamplingOptions sampling;
  GenerateOptions options{.max_tokens = 60};
  TimelineOptions timeline;
  size_t sink_stops_after = SIZE_MAX;   // tokens
  size_t cancelled_after = SIZE_MAX;
};

// A prompt that repeats itself, so that something can be drafted from the first token on.
std::vector<TokenId> prompt() {
  std::vector<TokenId> tokens;
  for (int round = 0; round < 3; ++round)
    for (int i = 0; i < 12; ++i) tokens.push_back((i * 37 + i * i * 5) % 250);
  return tokens;
}

class GenerateTest : public test::ModelTest {
 protected:
  Outcome run(const std::shared_ptr<const Model>& model, const Task& task, bool with_drafts, Timeline* given = nullptr) {
    std::unique_ptr<Timeline> own;
    if (!given) {
      own = *Timeline::create(model, task.timeline);
      EXPECT_TRUE(own->append(prompt(), {}));
    }
    Timeline& timeline = given ? *given : *own;
    Sampler sampler = *Sampler::create(task.sampling);
    Drafter drafter = make_drafter(*model, kAlways);
    GenerateOptions options = task.options;
    if (with_drafts) options.drafter = &drafter;
    CancelSource source;
    Outcome outcome;
    const Result<GenerateResult> result = generate(timeline, sampler, options, [&](const GeneratedToken& token) {
      outcome.told.push_back(token.id);
      outcome.text += token.text;
      for (const TokenProbability& p : token.log_probabilities) outcome.probabilities.emplace_back(p.token, p.log_probability);
      EXPECT_EQ(timeline.tokens().back(), token.id) << "the timeline holds what was told, and no more";
      if (outcome.told.size() == task.cancelled_after) source.cancel();
      return outcome.told.size() < task.sink_stops_after;
    }, source.token());
    outcome.code = result.status().code();
    if (result) {
      outcome.reason = result->reason;
      EXPECT_LE(result->accepted, result->drafted);
      EXPECT_LE(result->accepted, result->tokens);
      EXPECT_TRUE(options.drafter || result->drafted == 0);
      drafted_ += result->drafted, accepted_ += result->accepted;
    }
    outcome.timeline.assign(timeline.tokens().begin(), timeline.tokens().end());
    outcome.logits.assign(timeline.logits().begin(), timeline.logits().end());
    return outcome;
  }
  void expect_same(const std::shared_ptr<const Model>& model, const Task& task, const std::string& what) {
    const Outcome without = run(model, task, false), with = run(model, task, true);
    EXPECT_EQ(with.told, without.told) << what;
    EXPECT_TRUE(with == without) << what;
  }
  void expect_drafts_came_and_failed() const {
    EXPECT_GT(accepted_, 0u);
    EXPECT_GT(drafted_, accepted_);
  }

  size_t drafted_ = 0, accepted_ = 0;
};

// Greedy, and seeded sampling that is sure enough to repeat itself now and then.
std::vector<SamplingOptions> samplings() {
  return {{.temperature = 0},
          {.temperature = 0, .repetition_penalty = 1.05f},
          {.temperature = 0.05f, .top_p = 0.9f, .seed = 3},
          {.temperature = 0.3f, .top_p = 1, .top_k = 2, .seed = 4},
          {.temperature = 0.1f, .top_p = 0.95f, .top_k = 5, .min_p = 0.1f, .seed = 5, .repetition_penalty = 1.02f, .presence_penalty = 0.01f,
           .frequency_penalty = 0.005f},
          {.temperature = 5, .top_p = 1, .seed = 6}};
}

TEST_F(GenerateTest, DenseModelsGiveTheSameWithDraftsToTheLastBit) {
  for (const char* name : {"qwen2", "llama", "qwen3"}) {
    const auto model = load({.seed = 11, .dense = name});
    for (const SamplingOptions& sampling : samplings())
      for (KvType type : {KvType::f32, KvType::f16, KvType::q8_0})
        expect_same(model, {.sampling = sampling, .timeline = {.kv_type = type}}, name);
  }
  expect_drafts_came_and_failed();
}

TEST_F(GenerateTest, DeterministicMixturesAndLatentAttentionGiveTheSameWithDraftsToTheLastBit) {
  for (const ReferenceOptions& options : {ReferenceOptions{.deepseek = true, .seed = 12}, ReferenceOptions{.seed = 13, .dense = "qwen3moe"}}) {
    const auto model = load(options);
    for (const SamplingOptions& sampling : samplings())
      expect_same(model, {.sampling = sampling, .timeline = {.deterministic = true}}, options.dense);
  }
  expect_drafts_came_and_failed();
}

TEST_F(GenerateTest, ProbabilitiesAndMasksAreTheSameWithDrafts) {
  const auto model = load({.seed = 14});
  size_t masked = 0;
  Task task{.sampling = {.temperature = 0.1f, .seed = 1}, .options = {.max_tokens = 60, .top_log_probabilities = 3}};
  task.sampling.logit_bias = {{7, 3.0f}, {8, -INFINITY}};
  task.sampling.mask = [&](std::span<float> logits) {
    ++masked;
    for (size_t i = 100; i < logits.size(); ++i) logits[i] = -INFINITY;
  };
  expect_same(model, task, "mask");
  EXPECT_EQ(masked % 2, 0u) << "called once for each choice, with drafts and without";
  expect_drafts_came_and_failed();
}

TEST_F(GenerateTest, StopsWhereItWouldWithoutDrafts) {
  const auto model = load({.seed = 15});
  const SamplingOptions sampling{.temperature = 0.2f, .top_k = 2, .seed = 2};
  const Outcome whole = run(model, {.sampling = sampling}, false);
  ASSERT_GT(whole.told.size(), 30u);
  for (size_t n = 1; n <= 30; ++n) {
    const std::string what = "after " + std::to_string(n);
    expect_same(model, {.sampling = sampling, .options = {.max_tokens = n}}, "max_tokens " + what);
    expect_same(model, {.sampling = sampling, .sink_stops_after = n}, "sink " + what);
    expect_same(model, {.sampling = sampling, .timeline = {.max_tokens = prompt().size() + n}}, "context " + what);
    const Outcome cancelled = run(model, {.sampling = sampling, .cancelled_after = n}, true);
    EXPECT_EQ(cancelled.code, StatusCode::cancelled);
    EXPECT_EQ(cancelled.told.size(), n);
    EXPECT_EQ(cancelled.timeline.size(), prompt().size() + n);
    expect_same(model, {.sampling = sampling, .cancelled_after = n}, "cancelled " + what);
  }
  for (size_t at = 0; at + 2 < whole.text.size(); ++at)
    expect_same(model, {.sampling = sampling, .options = {.max_tokens = 60, .stop = {whole.text.substr(at, 2)}}}, "stop string at " + std::to_string(at));
  expect_drafts_came_and_failed();
}

TEST_F(GenerateTest, GoesOnAfterEachStopAsWithoutDrafts) {
  const auto model = load({.seed = 16});
  for (const SamplingOptions& sampling : {SamplingOptions{.temperature = 0}, SamplingOptions{.temperature = 0.2f, .top_k = 2, .seed = 2}}) {
    // One session in pieces of changing lengths, with another text between two of them, a drafter all the way.
    const auto pieces = [&](bool with_drafts) {
      auto timeline = *Timeline::create(model);
      EXPECT_TRUE(timeline->append(prompt(), {}));
      Sampler sampler = *Sampler::create(sampling);
      Drafter drafter = make_drafter(*model, kAlways);
      for (size_t piece = 1; piece < 14; ++piece) {
        const auto result = generate(*timeline, sampler, {.max_tokens = piece % 5 + 1, .drafter = with_drafts ? &drafter : nullptr},
                                     [](const GeneratedToken&) { return true; }, {});
        EXPECT_TRUE(result);
        drafted_ += result->drafted, accepted_ += result->accepted;
        if (piece == 6) {
          EXPECT_TRUE(timeline->append(std::vector<TokenId>{3, 4, 5}, {}));
        } else if (piece == 9) {
          EXPECT_TRUE(timeline->truncate(timeline->tokens().size() - 4));
          EXPECT_TRUE(timeline->append(prompt(), {}));
        }
      }
      return std::pair(std::vector<TokenId>(timeline->tokens().begin(), timeline->tokens().end()),
                       std::vector<float>(timeline->logits().begin(), timeline->logits().end()));
    };
    EXPECT_EQ(pieces(true), pieces(false));
  }
  expect_drafts_came_and_failed();
}

TEST_F(GenerateTest, SessionsSideBySideGiveTheSameWithDrafts) {
  const auto model = load({.seed = 17});
  const auto task = [](size_t which) {
    return Task{.sampling = {.temperature = 0.2f, .top_k = 2, .seed = which}, .timeline = {.deterministic = true}};
  };
  std::vector<Outcome> alone(3), together(3);
  for (size_t i = 0; i < 3; ++i) alone[i] = run(model, task(i), false);
  std::vector<std::thread> threads;
  for (size_t i = 0; i < 3; ++i)
    threads.emplace_back([&, i] {
      auto timeline = *Timeline::create(model, task(i).timeline);
      EXPECT_TRUE(timeline->append(prompt(), {}));
      Sampler sampler = *Sampler::create(task(i).sampling);
      Drafter drafter = make_drafter(*model, kAlways);
      EXPECT_TRUE(generate(*timeline, sampler, {.max_tokens = 60, .drafter = &drafter}, [&](const GeneratedToken& token) {
        return together[i].told.push_back(token.id), true;
      }, {}));
    });
  for (std::thread& thread : threads) thread.join();
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(together[i].told, alone[i].told);
}

TEST_F(GenerateTest, MeasuresByItselfWhetherDraftsPay) {
  // What it decides is not the test's business, only that the text stays the same and the counts add up.
  const auto model = load({.seed = 18});
  Task task{.sampling = {.temperature = 0}, .options = {.max_tokens = 200}};
  const Outcome without = run(model, task, false);
  Drafter drafter = make_drafter(*model);
  task.options.drafter = &drafter;
  const Outcome with = run(model, task, false);   // "false": with the task's own drafter
  EXPECT_EQ(with.told, without.told);
}

TEST_F(GenerateTest, TheModelTellsWhatItsExpertsWeigh) {
  EXPECT_EQ(load({.seed = 1})->info().active_expert_bytes, 0u);
  const ModelInfo info = load({.seed = 1, .dense = "qwen3moe"})->info();
  EXPECT_GT(info.active_expert_bytes, 0u);
  EXPECT_LT(info.active_expert_bytes, info.active_bytes);
}

class ReadAheadTest : public test::ModelTest {
 protected:
  static std::vector<float> logits(const Timeline& timeline) { return {timeline.logits().begin(), timeline.logits().end()}; }
  // A timeline that has read the tokens one by one.
  static std::unique_ptr<Timeline> plain(const std::shared_ptr<const Model>& model, std::vector<TokenId> tokens) {
    auto timeline = *Timeline::create(model);
    for (const TokenId token : tokens) EXPECT_TRUE(timeline->append({&token, 1}, {}));
    return timeline;
  }
  static std::unique_ptr<Timeline> ahead(const std::shared_ptr<const Model>& model) {
    auto timeline = plain(model, {1, 2, 3});
    EXPECT_TRUE(timeline->append_with_draft(4, std::vector<TokenId>{5, 6, 7}, {}));
    return timeline;
  }
  static void expect_same(Timeline& got, const std::shared_ptr<const Model>& model, const std::vector<TokenId>& tokens) {
    const auto want = plain(model, tokens);
    EXPECT_TRUE(std::ranges::equal(got.tokens(), want->tokens()));
    EXPECT_EQ(logits(got), logits(*want));
  }
};

TEST_F(ReadAheadTest, TokensOfTheDraftAreTakenOverAndOthersAreRead) {
  const auto model = load({.seed = 2});
  auto timeline = ahead(model);
  expect_same(*timeline, model, {1, 2, 3, 4});
  EXPECT_EQ(timeline->read_ahead().size(), 3u);
  ASSERT_TRUE(timeline->append(std::vector<TokenId>{5}, {}));
  expect_same(*timeline, model, {1, 2, 3, 4, 5});
  EXPECT_EQ(timeline->read_ahead().size(), 2u);
  ASSERT_TRUE(timeline->append(std::vector<TokenId>{9}, {}));
  expect_same(*timeline, model, {1, 2, 3, 4, 5, 9});
  EXPECT_TRUE(timeline->read_ahead().empty());
  // All of a draft, then a draft behind it, several tokens at once behind that.
  ASSERT_TRUE(timeline->append_with_draft(1, std::vector<TokenId>{8}, {}));
  ASSERT_TRUE(timeline->append(std::vector<TokenId>{8}, {}));
  EXPECT_TRUE(timeline->read_ahead().empty());
  ASSERT_TRUE(timeline->append_with_draft(2, std::vector<TokenId>{3, 4}, {}));
  ASSERT_TRUE(timeline->append(std::vector<TokenId>{3, 4, 5}, {}));
  expect_same(*timeline, model, {1, 2, 3, 4, 5, 9, 1, 8, 2, 3, 4, 5});
}

TEST_F(ReadAheadTest, ADraftThatDiffersAtOnceIsForgotten) {
  const auto model = load({.seed = 2});
  auto timeline = ahead(model);
  ASSERT_TRUE(timeline->append_with_draft(6, std::vector<TokenId>{7, 5}, {}));
  expect_same(*timeline, model, {1, 2, 3, 4, 6});
  ASSERT_TRUE(timeline->append(std::vector<TokenId>{7}, {}));
  expect_same(*timeline, model, {1, 2, 3, 4, 6, 7});
}

TEST_F(ReadAheadTest, ForksFilesAndTruncatedTimelinesKnowNothingOfADraft) {
  const auto model = load({.seed = 2});
  const auto goes_on = [&](Timeline& timeline, const std::vector<TokenId>& tokens) {
    EXPECT_TRUE(timeline.read_ahead().empty());
    expect_same(timeline, model, tokens);
    std::vector<TokenId> more = tokens;
    for (const TokenId token : {5, 6, 9}) {
      more.push_back(token);
      ASSERT_TRUE(timeline.append({&token, 1}, {}));
      expect_same(timeline, model, more);
    }
  };
  auto timeline = ahead(model);
  auto fork = *timeline->fork();
  goes_on(*fork, {1, 2, 3, 4});
  goes_on(*timeline, {1, 2, 3, 4});
  timeline = ahead(model);
  ASSERT_TRUE(timeline->save(path_ + ".session"));
  auto restored = *Timeline::restore(model, path_ + ".session");
  const auto bytes = std::filesystem::file_size(path_ + ".session");
  goes_on(*restored, {1, 2, 3, 4});
  goes_on(*timeline, {1, 2, 3, 4});
  ASSERT_TRUE(plain(model, {1, 2, 3, 4})->save(path_ + ".session"));
  EXPECT_EQ(std::filesystem::file_size(path_ + ".session"), bytes);
  std::filesystem::remove(path_ + ".session");
  timeline = ahead(model);
  ASSERT_TRUE(timeline->truncate(3));
  ASSERT_TRUE(timeline->append(std::vector<TokenId>{4}, {}));
  goes_on(*timeline, {1, 2, 3, 4});
}

TEST_F(ReadAheadTest, RejectedDraftsAreNotLeftToOtherTimelines) {
  load({.seed = 2});   // writes the file
  const auto model = *Model::load(path_, {});   // with a prefix cache
  std::vector<TokenId> tokens;
  for (int i = 0; i < 300; ++i) tokens.push_back((i * 7 + i / 11) % 260);
  const std::vector<TokenId> draft = {11, 12, 13, 14, 15, 16, 17};
  {
    auto timeline = *Timeline::create(model);
    ASSERT_TRUE(timeline->append(tokens, {}));
    ASSERT_TRUE(timeline->append_with_draft(10, draft, {}));
    ASSERT_TRUE(timeline->append({draft.data(), 1}, {}));   // the first comes true, the others not
  }
  std::vector<TokenId> longer = tokens;
  longer.push_back(10);
  longer.insert(longer.end(), draft.begin(), draft.end());
  auto other = *Timeline::create(model);
  ASSERT_TRUE(other->append(longer, {}));
  EXPECT_EQ(other->reused_tokens(), tokens.size() + 2);
  auto alone = *Timeline::create(model, {.share_prefixes = false});
  for (size_t i = 0; i < longer.size(); i += 100) ASSERT_TRUE(alone->append(std::span(longer).subspan(i, std::min<size_t>(100, longer.size() - i)), {}));
  EXPECT_EQ(logits(*other), logits(*alone));
}

TEST_F(ReadAheadTest, WhatDoesNotFitIsLeftOutOfADraft) {
  const auto model = load({.seed = 2});
  auto timeline = *Timeline::create(model, {.max_tokens = 6});
  ASSERT_TRUE(timeline->append(std::vector<TokenId>{1, 2, 3}, {}));
  ASSERT_TRUE(timeline->append_with_draft(4, std::vector<TokenId>{5, 6, 7, 8}, {}));
  EXPECT_EQ(timeline->read_ahead().size(), 2u);
  ASSERT_TRUE(timeline->append(std::vector<TokenId>{5}, {}));
  ASSERT_TRUE(timeline->append_with_draft(9, std::vector<TokenId>{5, 6}, {}));
  EXPECT_TRUE(timeline->read_ahead().empty());
  expect_same(*timeline, model, {1, 2, 3, 4, 5, 9});
  EXPECT_EQ(timeline->append_with_draft(9, std::vector<TokenId>{5}, {}).code(), StatusCode::limit_exceeded);
  auto roomy = plain(model, {1, 2});
  ASSERT_TRUE(roomy->append_with_draft(3, std::vector<TokenId>(40, 7), {}));
  EXPECT_EQ(roomy->read_ahead().size(), 7u);
}

TEST_F(ReadAheadTest, AnErrorLeavesTheTimelineAsItWas) {
  const auto model = load({.seed = 2});
  auto timeline = ahead(model);
  CancelSource source;
  source.cancel();
  EXPECT_EQ(timeline->append(std::vector<TokenId>{5}, source.token()).code(), StatusCode::cancelled);
  expect_same(*timeline, model, {1, 2, 3, 4});
  EXPECT_EQ(timeline->append_with_draft(9, std::vector<TokenId>{5}, source.token()).code(), StatusCode::cancelled);
  expect_same(*timeline, model, {1, 2, 3, 4});
  EXPECT_EQ(timeline->append_with_draft(9, std::vector<TokenId>{-1}, {}).code(), StatusCode::invalid_argument);
  EXPECT_EQ(timeline->append_with_draft(1 << 20, std::vector<TokenId>{1}, {}).code(), StatusCode::invalid_argument);
  expect_same(*timeline, model, {1, 2, 3, 4});
  ASSERT_TRUE(timeline->append_with_draft(9, std::vector<TokenId>{5}, {}));
  expect_same(*timeline, model, {1, 2, 3, 4, 9});
  auto empty = *Timeline::create(model);
  ASSERT_TRUE(empty->append_with_draft(1, std::vector<TokenId>{2}, {}));
  expect_same(*empty, model, {1});
}

}  // namespace
}  // namespace wenqu::engine
