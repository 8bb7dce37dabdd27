#include "sdk/protocol/event_json.h"

#include <gtest/gtest.h>
#include <rapidjson/document.h>

#include "sdk/assistant/response_writer.h"

namespace wenqu::protocol {
namespace {

using assistant::Event;

rapidjson::Document parsed(const std::string& json) {
  rapidjson::Document document;
  document.Parse<rapidjson::kParseValidateEncodingFlag>(json.c_str(), json.size());
  EXPECT_FALSE(document.HasParseError()) << json;
  return document;
}

assistant::Finding finding() {
  assistant::Finding f;
  f.hit.passage = {"doc-1", 2, {10, 30}, "The library\ncloses at \"six\".", "abcd"};
  f.hit.score = 4;
  f.hit.title = "Hours";
  f.hit.url = "https://example.org/h";
  f.hit.attributes = {{"page", "3"}, {"title", "shadowed"}};
  f.hit.snippet = "closes at six";
  f.hit.matches = {{0, 6}};
  f.query = "q";
  return f;
}

std::vector<std::string> full_road() {
  std::vector<std::string> lines;
  const assistant::EventSink sink = [&](const Event& event) {
    lines.push_back(event_to_json(event));
    return true;
  };
  assistant::AskRequest request;
  request.mode = assistant::Mode::deep;
  assistant::ResponseWriter writer(request, "m", true, sink);
  writer.begin();
  writer.begin_search({"when", "关门"});
  writer.end_search({finding()});
  writer.think("hm");
  writer.answer("at six[citation:1]");
  writer.end_answer();
  writer.complete();
  return lines;
}

TEST(EventJson, UsageTellsTheTokensOfEachKind) {
  std::string last;
  const assistant::EventSink sink = [&](const Event& event) {
    last = event_to_json(event);
    return true;
  };
  const assistant::AskRequest request;
  assistant::ResponseWriter writer(request, "m", false, sink);
  writer.begin();
  writer.response().usage = {.input_tokens = 100, .cached_tokens = 60, .output_tokens = 30, .reasoning_tokens = 20, .drafted_tokens = 12, .accepted_tokens = 9};
  writer.complete();
  const auto json = parsed(last);
  const auto& usage = json["response"]["usage"];
  EXPECT_EQ(usage["input_tokens_details"]["cached_tokens"].GetInt(), 60);
  EXPECT_EQ(usage["output_tokens_details"]["reasoning_tokens"].GetInt(), 20);
  EXPECT_EQ(usage["output_tokens_details"]["drafted_tokens"].GetInt(), 12);
  EXPECT_EQ(usage["output_tokens_details"]["accepted_tokens"].GetInt(), 9);
  EXPECT_EQ(usage["total_tokens"].GetInt(), 130);
}

TEST(EventJson, EveryEventIsOneLineWithTypeNumberAndResponse) {
  const std::vector<std::string> lines = full_road();
  for (size_t i = 0; i < lines.size(); ++i) {
    EXPECT_EQ(lines[i].find('\n'), std::string::npos);
    const auto json = parsed(lines[i]);
    EXPECT_TRUE(json["type"].IsString());
    EXPECT_EQ(json["sequence_number"].GetUint64(), i);
    EXPECT_EQ(std::string(json["response_id"].GetString()).rfind("resp_", 0), 0u);
  }
}

TEST(EventJson, TheFinalEventHoldsTheWholeResponse) {
  const auto json = parsed(full_road().back());
  EXPECT_STREQ(json["type"].GetString(), "response.completed");
  const auto& response = json["response"];
  EXPECT_STREQ(response["status"].GetString(), "completed");
  EXPECT_TRUE(response["error"].IsNull());
  EXPECT_TRUE(response["wenqu"]["extractive"].GetBool());
  EXPECT_STREQ(response["wenqu"]["mode"].GetString(), "deep");
  const auto& output = response["output"];
  ASSERT_EQ(output.Size(), 3u);
  EXPECT_STREQ(output[0]["type"].GetString(), "file_search_call");
  EXPECT_STREQ(output[0]["queries"][1].GetString(), "关门");
  const auto& result = output[0]["results"][0];
  EXPECT_STREQ(result["file_id"].GetString(), "doc-1");
  EXPECT_EQ(result["score"].GetDouble(), 1.0);
  EXPECT_STREQ(result["attributes"]["title"].GetString(), "Hours");
  EXPECT_STREQ(result["attributes"]["page"].GetString(), "3");
  EXPECT_EQ(result["wenqu"]["citation"].GetInt(), 1);
  EXPECT_EQ(result["wenqu"]["char_start"].GetInt(), 10);
  EXPECT_STREQ(output[1]["content"][0]["text"].GetString(), "hm");
  EXPECT_STREQ(output[2]["content"][0]["text"].GetString(), "at six[citation:1]");
  const auto& annotation = output[2]["content"][0]["annotations"][0];
  EXPECT_STREQ(annotation["type"].GetString(), "file_citation");
  EXPECT_STREQ(annotation["file_id"].GetString(), "doc-1");
  EXPECT_EQ(annotation["wenqu"]["start_index"].GetInt(), 6);
  EXPECT_EQ(annotation["wenqu"]["end_index"].GetInt(), 18);
}

TEST(EventJson, AFailureTellsItsCodeAndWords) {
  std::string last;
  const assistant::EventSink sink = [&](const Event& event) {
    last = event_to_json(event);
    return true;
  };
  assistant::ResponseWriter writer({}, "m", false, sink);
  writer.begin();
  writer.fail(Status(StatusCode::corrupt, "bad checksum", "index/manifest"));
  const auto json = parsed(last);
  EXPECT_STREQ(json["type"].GetString(), "response.failed");
  EXPECT_STREQ(json["response"]["error"]["code"].GetString(), "corrupt");
  EXPECT_STREQ(json["response"]["error"]["message"].GetString(), "index/manifest: bad checksum");
}

TEST(EventJson, WhatFailedOrWasCutOffIsNotTakenForWhole) {
  std::vector<std::string> lines;
  const assistant::EventSink sink = [&](const Event& event) {
    lines.push_back(event_to_json(event));
    return true;
  };
  assistant::ResponseWriter failing({}, "m", false, sink);
  failing.begin();
  failing.begin_search({"when"});
  failing.fail(Status(StatusCode::io_error, "gone"));
  const auto item_done = parsed(lines.at(lines.size() - 2));
  EXPECT_STREQ(item_done["type"].GetString(), "response.output_item.done");
  EXPECT_STREQ(item_done["item"]["status"].GetString(), "failed");
  EXPECT_TRUE(item_done["item"]["results"].IsNull());
  EXPECT_TRUE(parsed(lines.back())["response"]["wenqu"]["timings"]["first_delta_ms"].IsNull());

  assistant::ResponseWriter cancelled({}, "m", false, sink);
  cancelled.begin();
  cancelled.answer("The");
  cancelled.incomplete("cancelled");
  const auto last = parsed(lines.back());
  const auto& message = last["response"]["output"][0];
  EXPECT_STREQ(message["status"].GetString(), "incomplete");
  EXPECT_STREQ(message["content"][0]["text"].GetString(), "The");
  EXPECT_TRUE(last["response"]["wenqu"]["timings"]["first_delta_ms"].IsInt64());
}

TEST(EventJson, IllFormedTextFromOutsideIsRepaired) {
  retrieval::SearchResponse response;
  response.hits.push_back(finding().hit);
  response.hits[0].title = "bad \xFF title";
  const auto json = parsed(search_to_json("q\xC3", response));
  EXPECT_STREQ(json["results"][0]["filename"].GetString(), "bad \xEF\xBF\xBD title");
}

TEST(ErrorJson, NamesTheParameter) {
  EXPECT_STREQ(error_to_json(Status(StatusCode::busy, "later"), 5000).c_str(),
               R"({"type":"error","code":"busy","message":"later","param":null,"wenqu":{"retry_after_ms":5000}})");
  const auto json = parsed(error_to_json(Status(StatusCode::invalid_argument, "is missing", "input")));
  EXPECT_STREQ(json["type"].GetString(), "error");
  EXPECT_STREQ(json["code"].GetString(), "invalid_argument");
  EXPECT_STREQ(json["param"].GetString(), "input");
}

TEST(SearchJson, SharesOfARerankersScoresFallWithThem) {
  retrieval::SearchResponse response;
  for (const double score : {2.0, -1.0, -3.0}) {
    response.hits.push_back(finding().hit);
    response.hits.back().score = score;
  }
  const auto json = parsed(search_to_json("q", response));
  const auto& data = json["results"];
  ASSERT_EQ(data.Size(), 3u);
  EXPECT_EQ(data[0]["score"].GetDouble(), 1.0);
  EXPECT_NEAR(data[1]["score"].GetDouble(), 0.2689 / 0.8808, 1e-3);
  EXPECT_GT(data[2]["score"].GetDouble(), 0);
  EXPECT_LT(data[2]["score"].GetDouble(), data[1]["score"].GetDouble());
}

}  // namespace
}  // namespace wenqu::protocol
