// A server on loopback with a scripted answerer, and helpers to talk to it.
#pragma once

#include <gtest/gtest.h>
#include <rapidjson/document.h>

#include <mutex>
#include <set>

#include "sdk/net/server.h"
#include "tests/sdk/net/doubles.h"
#include "tests/sdk/net/websocket_client.h"

namespace wenqu::net {

inline constexpr const char* kAsk = R"({"type":"response.create","input":"When does the mill open?"})";

class ServerTest : public testing::Test {
 protected:
  void serve(std::shared_ptr<Scripted> generator = std::make_shared<Scripted>(), Server::Options options = {},
             std::shared_ptr<retrieval::Retriever> retriever = std::make_shared<OnePassage>()) {
    generator_ = std::move(generator);
    options.log = [this](std::string_view line) {
      std::lock_guard lock(mutex_);
      log_ += std::string(line) + "\n";
    };
    auto server = Server::start(
        std::make_shared<assistant::Assistant>(std::move(retriever), generator_), std::move(options));
    ASSERT_TRUE(server) << server.status().to_string();
    server_ = std::move(server).value();
  }

  std::unique_ptr<WebsocketClient> connect(int receive_buffer = 0) {
    auto client = std::make_unique<WebsocketClient>(server_->port(), receive_buffer);
    EXPECT_EQ(client->upgrade(), 101);
    return client;
  }

  static rapidjson::Document parse(const std::optional<std::string>& text) {
    rapidjson::Document document;
    if (text) document.Parse(text->data(), text->size());
    if (!text || document.HasParseError() || !document.IsObject()) {
      ADD_FAILURE() << "not a JSON object: " << text.value_or("(nothing)");
      document.SetObject();
    }
    return document;
  }
  static std::string text(const rapidjson::Value& object, const char* name) {
    const auto member = object.FindMember(name);
    return member != object.MemberEnd() && member->value.IsString() ? member->value.GetString() : "";
  }
  static bool is_final(const std::string& type) {
    return type == "response.completed" || type == "response.incomplete" || type == "response.failed";
  }

  // The types of the events up to a final one or an error, checked to be of one response without gaps.
  static std::vector<std::string> read_answer(WebsocketClient& client, rapidjson::Document* last = nullptr) {
    std::vector<std::string> types;
    std::string response_id;
    for (uint64_t expected = 0;; ++expected) {
      rapidjson::Document event = parse(client.read_text());
      types.push_back(text(event, "type"));
      if (types.back().empty()) return types;
      if (types.back() != "error") {
        EXPECT_EQ(event["sequence_number"].GetUint64(), expected);
        if (expected == 0) response_id = text(event, "response_id");
        EXPECT_EQ(text(event, "response_id"), response_id);
      }
      if (types.back() == "error" || is_final(types.back())) {
        if (last) last->Swap(event);
        return types;
      }
    }
  }
  // The first event of the type, the others passed over.
  static rapidjson::Document read_until(WebsocketClient& client, const std::string& type) {
    for (;;) {
      rapidjson::Document event = parse(client.read_text());
      const std::string found = text(event, "type");
      if (found == type || found.empty()) return event;
    }
  }
  static void expect_working(WebsocketClient& client) {
    client.send_text(kAsk);
    EXPECT_EQ(read_answer(client).back(), "response.completed");
  }

  std::string log() {
    std::lock_guard lock(mutex_);
    return log_;
  }

  std::mutex mutex_;
  std::string log_;
  std::shared_ptr<Scripted> generator_;
  std::unique_ptr<Server> server_;
};

}  // namespace wenqu::net
