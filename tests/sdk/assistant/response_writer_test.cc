#include "sdk/assistant/response_writer.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace wenqu::assistant {
namespace {

using Type = Event::Type;

Finding finding(std::string id, std::string query = "q") {
  Finding f;
  f.hit.passage.document_id = std::move(id);
  f.query = std::move(query);
  return f;
}

// Notes what comes, and holds every event to the rules of the stream.
struct Recorder {
  std::vector<Type> types;
  std::string thinking, answer;
  bool ended = false;
  size_t stop_after = SIZE_MAX;

  EventSink sink() {
    return [this](const Event& event) {
      EXPECT_EQ(event.sequence_number, types.size());
      EXPECT_FALSE(ended) << "nothing follows the final event";
      types.push_back(event.type);
      if (event.type == Type::reasoning_delta) thinking += event.delta;
      if (event.type == Type::text_delta) answer += event.delta;
      ended = event.is_final();
      return types.size() < stop_after;
    };
  }
};

TEST(ResponseWriter, TellsAFullRoadInOrder) {
  Recorder recorder;
  const EventSink sink = recorder.sink();
  int64_t now = 1000;
  AskRequest request;
  ResponseWriter writer(request, "m", false, sink, [&] { return now; });
  writer.begin();
  writer.begin_search({"q"});
  writer.end_search({finding("a"), finding("b")});
  now += 500;
  writer.think("hm");
  now += 2000;
  writer.answer("yes[citation:2]");
  writer.end_answer();
  now += 10;
  writer.complete();
  EXPECT_EQ(recorder.types,
            (std::vector<Type>{Type::created, Type::in_progress, Type::item_added, Type::search_searching,
                               Type::search_completed, Type::item_done, Type::item_added, Type::reasoning_delta,
                               Type::reasoning_done, Type::item_done, Type::item_added, Type::part_added, Type::text_delta,
                               Type::text_delta, Type::annotation_added, Type::text_done, Type::part_done,
                               Type::item_done, Type::completed}));
  EXPECT_EQ(recorder.answer, "yes[citation:2]");
  // The thinking counts from its first word, not from the question.
  EXPECT_EQ(writer.response().timings.thinking_ms, 2000);
  EXPECT_EQ(writer.response().timings.first_delta_ms, 500);
  EXPECT_EQ(writer.response().timings.total_ms, 2510);
  EXPECT_EQ(writer.response().items[2].citations.at(0).evidence->hit.passage.document_id, "b");
}

TEST(ResponseWriter, WhatComesBetweenThinkingAndAnswerIsNoThinking) {
  Recorder recorder;
  const EventSink sink = recorder.sink();
  int64_t now = 1000;
  AskRequest request;
  ResponseWriter writer(request, "m", false, sink, [&] { return now; });
  writer.begin();
  now += 9000;                // the prompt is read
  writer.think("hm");
  now += 40;
  writer.end_thinking();
  now += 8000;                // the answer's is
  writer.think("again");      // there is one reasoning item at most
  writer.answer("yes");
  writer.end_answer();
  writer.complete();
  EXPECT_EQ(writer.response().timings.thinking_ms, 40);
  EXPECT_EQ(writer.response().items.at(0).elapsed_ms, 40);
  EXPECT_EQ(recorder.thinking, "hm");
  EXPECT_EQ(writer.response().items.size(), 2u);
}

TEST(ResponseWriter, ItemsTellHowTheyEnded) {
  const EventSink sink = [](const Event&) { return true; };
  const auto states = [&](auto road) {
    ResponseWriter writer({}, "m", false, sink);
    writer.begin();
    road(writer);
    std::vector<State> told;
    for (const Item& item : writer.response().items) told.push_back(item.state);
    return told;
  };
  EXPECT_EQ(states([](ResponseWriter& writer) {
              writer.begin_search({"q"});
              writer.end_search({});
              writer.think("hm");
              writer.begin_search({"r"});
              writer.fail(Status(StatusCode::io_error, "gone"));
            }),
            (std::vector{State::completed, State::incomplete, State::failed}));
  EXPECT_EQ(states([](ResponseWriter& writer) {
              writer.begin_search({"q"});
              writer.incomplete("cancelled");
            }),
            std::vector{State::incomplete});
  EXPECT_EQ(states([](ResponseWriter& writer) {
              writer.think("hm");
              writer.answer("The");
              writer.incomplete("cancelled");
            }),
            (std::vector{State::completed, State::incomplete}));
}

TEST(ResponseWriter, NumbersAPassageOnceHoweverOftenItIsFound) {
  Recorder recorder;
  const EventSink sink = recorder.sink();
  AskRequest request;
  ResponseWriter writer(request, "m", false, sink);
  writer.begin();
  writer.begin_search({"q"});
  writer.end_search({finding("a"), finding("b")});
  writer.begin_search({"r"});
  writer.end_search({finding("b", "r"), finding("c", "r")});
  writer.complete();
  const Response& response = writer.response();
  ASSERT_EQ(response.evidence.size(), 3u);
  EXPECT_EQ(response.items[1].results[0]->number, 2);
  EXPECT_EQ(response.items[1].results[1]->number, 3);
  EXPECT_EQ(response.evidence[1].query, "q");
}

TEST(ResponseWriter, WhateverIsOpenIsClosedBeforeTheOneFinalEvent) {
  for (size_t stop = 1; stop < 20; ++stop) {
    Recorder recorder;
    recorder.stop_after = stop;
    const EventSink sink = recorder.sink();
    AskRequest request;
    ResponseWriter writer(request, "m", false, sink);
    writer.begin();
    writer.begin_search({"q"});
    writer.end_search({finding("a")});
    writer.think("a");
    writer.think("b");
    writer.answer("c [cit");
    writer.fail(Status(StatusCode::io_error, "gone"));
    writer.complete();      // has no effect any more
    writer.incomplete("x");
    EXPECT_TRUE(recorder.ended);
    EXPECT_EQ(recorder.types.back(), Type::failed);
    EXPECT_EQ(std::count(recorder.types.begin(), recorder.types.end(), Type::item_added),
              std::count(recorder.types.begin(), recorder.types.end(), Type::item_done));
    EXPECT_EQ(writer.response().error.message(), "gone");
  }
}

TEST(ResponseWriter, AnAnswerWithoutTextIsStillAnItem) {
  Recorder recorder;
  const EventSink sink = recorder.sink();
  AskRequest request;
  ResponseWriter writer(request, "m", false, sink);
  writer.begin();
  writer.end_answer();
  writer.complete();
  EXPECT_EQ(recorder.types, (std::vector<Type>{Type::created, Type::in_progress, Type::item_added, Type::part_added,
                                               Type::text_done, Type::part_done, Type::item_done, Type::completed}));
}

}  // namespace
}  // namespace wenqu::assistant
