#include "sdk/protocol/request_json.h"

#include <gtest/gtest.h>

namespace wenqu::protocol {
namespace {

TEST(ClientMessage, ReadsAQuestionWithItsOptions) {
  const auto message = parse_client_message(
      R"({"type":"response.create","stream_id":"s1","input":"几点关门？","max_output_tokens":99,"temperature":0,
          "reasoning":{"max_tokens":7},"include":["wenqu.progress"],
          "tools":[{"type":"file_search","max_num_results":3}],"unknown":{"x":[1]},
          "wenqu":{"mode":"deep","sources":["chat","web"],"seed":5,"time_limit_seconds":1.5,"metadata":"m"}})");
  ASSERT_TRUE(message) << message.status().to_string();
  EXPECT_EQ(message->kind, ClientMessage::Kind::create);
  EXPECT_EQ(message->stream_id, "s1");
  const assistant::AskRequest& request = message->request;
  EXPECT_EQ(request.question, "几点关门？");
  EXPECT_EQ(request.mode, assistant::Mode::deep);
  EXPECT_EQ(request.max_answer_tokens, 99u);
  EXPECT_EQ(request.max_thinking_tokens, 7u);
  EXPECT_EQ(request.temperature, 0);
  EXPECT_EQ(request.passages, 3u);
  EXPECT_EQ(request.seed, 5u);
  EXPECT_EQ(request.time_limit_seconds, 1.5);
  EXPECT_EQ(request.metadata, "m");
  EXPECT_TRUE(request.report_progress);
  EXPECT_EQ(request.sources, (std::vector{retrieval::Source::chat, retrieval::Source::web}));
}

TEST(ClientMessage, TheLastMessageOfAListIsTheQuestionAndTheOthersWereBefore) {
  const auto message = parse_client_message(
      R"({"type":"response.create","input":[{"role":"user","content":"first"},{"role":"assistant","content":"a"},
          {"role":"user","content":[{"type":"input_text","text":"sec"},{"type":"input_text","text":"ond"}]}]})");
  ASSERT_TRUE(message) << message.status().to_string();
  EXPECT_EQ(message->request.question, "second");
  ASSERT_EQ(message->request.history.size(), 1u);
  EXPECT_EQ(message->request.history[0].question, "first");
  EXPECT_EQ(message->request.history[0].answer, "a");
  // As OpenAI's clients put the items of a response behind its question.
  const auto replayed = parse_client_message(
      R"({"type":"response.create","previous_response_id":"resp_1","input":[{"role":"assistant","content":"hello"},{"role":"user","content":"q"},
          {"type":"file_search_call","queries":["q"]},{"type":"reasoning","content":[]},
          {"type":"message","role":"assistant","content":[{"type":"output_text","text":"an"}]},{"role":"assistant","content":"swer"},
          {"role":"user","content":"r"},{"role":"user","content":"s"}]})");
  ASSERT_TRUE(replayed) << replayed.status().to_string();
  EXPECT_EQ(replayed->request.previous_response_id, "resp_1");
  EXPECT_EQ(replayed->request.question, "s");
  ASSERT_EQ(replayed->request.history.size(), 2u);
  EXPECT_EQ(replayed->request.history[0].answer, "an\nswer");
  EXPECT_EQ(replayed->request.history[1].question, "r");
  EXPECT_EQ(replayed->request.history[1].answer, "");
}

TEST(History, IsAListOfMessages) {
  assistant::AskRequest request;
  EXPECT_TRUE(parse_history(R"([{"role":"user","content":"q"},{"role":"assistant","content":"a"}])", request));
  ASSERT_EQ(request.history.size(), 1u);
  EXPECT_EQ(request.history[0].answer, "a");
  EXPECT_TRUE(parse_history("[]", request));
  EXPECT_TRUE(request.history.empty());
  for (const char* json : {"{}", "", "[1]", R"([{"role":"user"}])", R"([{"role":"tool","content":"x"}])", "[{}]", R"([{"Role":"user","content":"x"}])", R"([{"type":"message","content":"x"}])", R"([{"role":"user","content":[{"type":"image"}]}])"})
    EXPECT_FALSE(parse_history(json, request)) << json;
}

TEST(ClientMessage, FiltersAreRead) {
  const auto message = parse_client_message(
      R"({"type":"response.create","input":"x","wenqu":{"published_from":"2024-01-01","published_until":"2024-02",
          "attributes":{"town":["a","b"],"year":"1"},"principals":[]}})");
  ASSERT_TRUE(message) << message.status().to_string();
  const retrieval::Filter& filter = message->request.filter;
  EXPECT_EQ(filter.published_from, "2024-01-01");
  EXPECT_EQ(filter.published_until, "2024-02");
  EXPECT_EQ(filter.attributes.at("town"), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(filter.attributes.at("year"), (std::vector<std::string>{"1"}));
  EXPECT_EQ(filter.principals, std::vector<std::string>());
  EXPECT_FALSE(parse_client_message(R"({"type":"response.create","input":"x","wenqu":{}})")->request.filter.principals);
}

TEST(ClientMessage, EffortChoosesTheMode) {
  const auto mode = [](const char* effort) {
    return parse_client_message(std::string(R"({"type":"response.create","input":"x","reasoning":{"effort":")") + effort + "\"}}")
        ->request.mode;
  };
  EXPECT_EQ(mode("none"), assistant::Mode::quick);
  EXPECT_EQ(mode("high"), assistant::Mode::deep);
  EXPECT_EQ(mode("xhigh"), assistant::Mode::deep);
}

TEST(ClientMessage, WhatIsWrongIsNamed) {
  struct Case {
    const char* json;
    StatusCode code;
    const char* where;
  };
  const Case cases[] = {
      {"", StatusCode::invalid_argument, ""},
      {"[]", StatusCode::invalid_argument, ""},
      {"{", StatusCode::invalid_argument, ""},
      {"{\"type\":\"response.create\",\"input\":\"\xFF\"}", StatusCode::invalid_argument, ""},
      {R"({"type":"nope"})", StatusCode::invalid_argument, "type"},
      {R"({"type":5})", StatusCode::invalid_argument, "type"},
      {R"({"type":"response.create"})", StatusCode::invalid_argument, "input"},
      {R"({"type":"response.create","input":""})", StatusCode::invalid_argument, "input"},
      {R"({"type":"response.create","input":"x","tools":[{"type":"file_search","max_num_results":99}]})", StatusCode::invalid_argument, "tools[].max_num_results"},
      {R"({"type":"response.create","input":"x","wenqu":{"published_from":"yesterday"}})", StatusCode::invalid_argument, "wenqu.published_from"},
      {R"({"type":"response.create","input":{}})", StatusCode::invalid_argument, "input"},
      {R"({"type":"response.create","input":[]})", StatusCode::invalid_argument, "input"},
      {R"({"type":"response.create","input":[1]})", StatusCode::invalid_argument, "input[]"},
      {R"({"type":"response.create","input":"x","max_output_tokens":-1})", StatusCode::invalid_argument, "max_output_tokens"},
      {R"({"type":"response.create","input":"x","temperature":"hot"})", StatusCode::invalid_argument, "temperature"},
      {R"({"type":"response.create","input":"x","temperature":1e9})", StatusCode::invalid_argument, "temperature"},
      {R"({"type":"response.create","input":"x","reasoning":[]})", StatusCode::invalid_argument, "reasoning"},
      {R"({"type":"response.create","input":"x","wenqu":{"mode":"fast"}})", StatusCode::invalid_argument, "wenqu.mode"},
      {R"({"type":"response.create","input":"x","wenqu":{"sources":["tv"]}})", StatusCode::invalid_argument, "wenqu.sources[]"},
      {R"({"type":"response.create","input":"x","wenqu":{"attributes":[]}})", StatusCode::invalid_argument, "wenqu.attributes"},
      {R"({"type":"response.create","input":"x","wenqu":{"attributes":{"a":[1]}}})", StatusCode::invalid_argument, "wenqu.attributes.a[]"},
      {R"({"type":"response.create","input":"x","wenqu":{"principals":{}}})", StatusCode::invalid_argument, "wenqu.principals"},
      {R"({"type":"response.create","input":"x","wenqu":{"principals":null}})", StatusCode::invalid_argument, "wenqu.principals"},
      {R"({"type":"response.create","input":"x","wenqu":{"published_from":1}})", StatusCode::invalid_argument, "wenqu.published_from"},
      {R"({"type":"response.create","input":"x","tools":[{"type":"web_search"}]})", StatusCode::unsupported, "tools[].type"},
      {R"({"type":"response.create","input":"x","previous_response_id":7})", StatusCode::invalid_argument, "previous_response_id"},
      {R"({"type":"response.create","input":[{"role":"user","content":"x"},{"role":"assistant","content":"y"}]})", StatusCode::invalid_argument, "input"},
      {R"({"type":"response.create","input":[{"role":"system","content":"y"},{"role":"user","content":"x"}]})", StatusCode::unsupported, "input[].role"},
      {R"({"type":"response.create","input":[{"role":"tool","content":"y"},{"role":"user","content":"x"}]})", StatusCode::invalid_argument, "input[].role"},
      {R"({"type":"response.create","input":"x","conversation":{"id":"c"}})", StatusCode::unsupported, "conversation"},
      {R"({"type":"response.create","input":"x","instructions":"be brief"})", StatusCode::unsupported, "instructions"},
      {R"({"type":"response.cancel"})", StatusCode::invalid_argument, "response_id"},
  };
  for (const Case& c : cases) {
    const auto message = parse_client_message(c.json);
    ASSERT_FALSE(message) << c.json;
    EXPECT_EQ(message.status().code(), c.code) << c.json;
    EXPECT_EQ(message.status().where(), c.where) << c.json;
    EXPECT_FALSE(message.status().message().empty());
  }
}

TEST(ClientMessage, CancelNamesAResponseOrAStream) {
  const auto response = parse_client_message(R"({"type":"response.cancel","response_id":"resp_1"})");
  ASSERT_TRUE(response) << response.status().to_string();
  EXPECT_EQ(response->kind, ClientMessage::Kind::cancel);
  EXPECT_EQ(response->response_id, "resp_1");
  const auto stream = parse_client_message(R"({"type":"response.cancel","stream_id":"a"})");
  ASSERT_TRUE(stream) << stream.status().to_string();
  EXPECT_EQ(stream->kind, ClientMessage::Kind::cancel);
  EXPECT_EQ(stream->stream_id, "a");
  EXPECT_TRUE(parse_client_message(R"({"type":"response.cancel","stream_id":""})"));   // of questions that name none
  EXPECT_FALSE(parse_client_message(R"({"type":"response.cancel","stream_id":7})"));
  EXPECT_FALSE(parse_client_message(R"({"type":"response.cancel","stream_id":")" + std::string(257, 'x') + "\"}"));
}

TEST(ClientMessage, WhatWouldKeepSomethingBackIsNeverPassedOver) {
  const std::pair<const char*, const char*> cases[] = {
      {R"("wenqu":{"principal":["bob"]})", "wenqu.principal"},
      {R"("wenqu":{"Principals":["bob"]})", "wenqu.Principals"},
      {R"("wenqu":{"mode":"quick","filter":{"principals":["bob"]}})", "wenqu.filter"},
      {R"("Wenqu":{"principals":["bob"]})", "Wenqu"},
      {R"("wenqu":{"mode":"quick"},"wenqu":{"principals":["bob"]})", "wenqu"},
      {R"("wenqu":{"principals":["bob","eve"],"principals":["bob"]})", "wenqu.principals"},
      {R"("principals":["bob"])", "principals"},
      {R"("Principals":["bob"])", "Principals"},
      {R"("filter":{"principals":["bob"]})", "filter"},
      {R"("sources":["web"])", "sources"},
      {R"("attributes":{"town":"a"})", "attributes"},
      {R"("published_from":"2024-01-01")", "published_from"},
      {R"("tools":[{"type":"file_search","filters":{"type":"eq","key":"town","value":"a"}}])", "tools[].filters"},
  };
  for (const auto& [member, where] : cases) {
    const auto message = parse_client_message(std::string(R"({"type":"response.create","input":"x",)") + member + "}");
    ASSERT_FALSE(message) << member;
    EXPECT_EQ(message.status().where(), where) << member;
  }
  // What OpenAI's clients send besides is none of that.
  EXPECT_TRUE(parse_client_message(R"({"type":"response.create","input":"x","model":"m","store":false,"metadata":{"a":"b"},"instructions":null})"));
  EXPECT_TRUE(parse_client_message(R"({"type":"response.create","input":"x","instructions":"","previous_response_id":""})"));
}

TEST(Filter, AMisspeltMemberIsRefused) {
  assistant::AskRequest request;
  EXPECT_TRUE(parse_filter(R"({"principals":["bob"],"sources":["web"]})", request));
  for (const char* json : {R"({"principal":["bob"]})", R"({"wenqu":{"principals":["bob"]}})"}) EXPECT_EQ(parse_filter(json, request).code(), StatusCode::invalid_argument) << json;
  EXPECT_EQ(parse_filter(R"({"principals":null})", request).where(), "principals");
  EXPECT_EQ(parse_filter(R"({"sources":["web"],"sources":["chat"]})", request).where(), "sources");
}

TEST(Filter, MembersAreNamedAsTheCallerWroteThem) {
  assistant::AskRequest request;
  for (const auto& [json, where] : {std::pair(R"({"principals":7})", "principals"), std::pair(R"({"principals":[7]})", "principals[]"),
                                    std::pair(R"({"sources":"web"})", "sources"), std::pair(R"({"sources":["tv"]})", "sources[]"),
                                    std::pair(R"({"attributes":{"a":7}})", "attributes.a"), std::pair(R"({"published_from":7})", "published_from")})
    EXPECT_EQ(parse_filter(json, request).where(), where) << json;
}

TEST(Filter, ASourceIsComparedToItsEnd) {
  assistant::AskRequest request;
  EXPECT_EQ(parse_filter(R"({"sources":["web\u0000x"]})", request).where(), "sources[]");
}

TEST(ClientMessage, TellsWhoseItIsAlsoWhereItIsRefused) {
  std::string stream_id;
  EXPECT_FALSE(parse_client_message(R"({"type":"response.create","stream_id":"s7","input":""})", &stream_id));
  EXPECT_EQ(stream_id, "s7");
  stream_id.clear();
  EXPECT_FALSE(parse_client_message(R"({"type":"nope","stream_id":"s8"})", &stream_id));
  EXPECT_EQ(stream_id, "s8");
  stream_id.clear();
  EXPECT_FALSE(parse_client_message("{", &stream_id));
  EXPECT_EQ(stream_id, "");
}

TEST(ClientMessage, DeepNestingIsRefusedBeforeItIsParsed) {
  const std::string deep = R"({"type":"response.create","input":"x","a":)" + std::string(100000, '[') + std::string(100000, ']') + "}";
  EXPECT_EQ(parse_client_message(deep).status().code(), StatusCode::limit_exceeded);
  // Brackets inside a string are text.
  EXPECT_TRUE(parse_client_message(R"({"type":"response.create","input":"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[ \" {{"})"));
}

}  // namespace
}  // namespace wenqu::protocol
