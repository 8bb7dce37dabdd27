#include "sdk/net/server.h"

#include "tests/sdk/net/fixture.h"

namespace wenqu::net {
namespace {

TEST_F(ServerTest, TellsTheEventsOfAnAnswerInOrder) {
  serve(std::make_shared<Scripted>(2));
  auto client = connect();
  client->send_text(kAsk);
  EXPECT_EQ(read_answer(*client),
            (std::vector<std::string>{
                "response.created", "response.in_progress", "response.output_item.added",
                "response.file_search_call.searching", "response.file_search_call.completed", "response.output_item.done",
                "response.output_item.added", "response.content_part.added", "response.output_text.delta",
                "response.output_text.delta", "response.output_text.done", "response.content_part.done",
                "response.output_item.done", "response.completed"}));
  expect_working(*client);
}

TEST_F(ServerTest, TheOtherPathIsTheSame) {
  serve();
  WebsocketClient client(server_->port());
  EXPECT_EQ(client.upgrade("", "/ws"), 101);
  expect_working(client);
}

TEST_F(ServerTest, EchoesTheStreamId) {
  serve();
  auto client = connect();
  client->send_text(R"({"type":"response.create","input":"mill?","stream_id":"窗\"1"})");
  for (std::string type; !is_final(type);) {
    const rapidjson::Document event = parse(client->read_text());
    type = text(event, "type");
    EXPECT_EQ(text(event, "stream_id"), "窗\"1");
    ASSERT_NE(type, "");
  }
}

TEST_F(ServerTest, AnswersOfOneStreamComeOneAfterTheOther) {
  serve(std::make_shared<Scripted>(50));
  auto client = connect();
  for (int i = 0; i < 3; ++i) client->send_text(kAsk);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(read_answer(*client).back(), "response.completed");
  EXPECT_EQ(generator_->most_running(), 1u);
}

TEST_F(ServerTest, DifferentStreamsRunSideBySide) {
  serve(std::make_shared<Scripted>(Scripted::kEndless));
  auto client = connect();
  client->send_text(R"({"type":"response.create","input":"mill?","stream_id":"a"})");
  client->send_text(R"({"type":"response.create","input":"mill?","stream_id":"b"})");
  EXPECT_TRUE(generator_->wait_for_running(2));
  std::set<std::string> streams;
  while (streams.size() < 2) {
    const rapidjson::Document event = parse(client->read_text());
    ASSERT_NE(text(event, "type"), "");
    streams.insert(text(event, "stream_id"));
  }
}

TEST_F(ServerTest, CancelEndsTheAnswerAsIncomplete) {
  serve(std::make_shared<Scripted>(Scripted::kEndless));
  auto client = connect();
  client->send_text(kAsk);
  const std::string id = text(read_until(*client, "response.output_text.delta"), "response_id");
  client->send_text(R"({"type":"response.cancel","response_id":")" + id + "\"}");
  const rapidjson::Document last = read_until(*client, "response.incomplete");
  EXPECT_EQ(text(last["response"]["incomplete_details"], "reason"), "cancelled");
  EXPECT_TRUE(generator_->wait_for_running(0));
}

TEST_F(ServerTest, NobodyCanCancelAnothersAnswer) {
  serve(std::make_shared<Scripted>(Scripted::kEndless));
  auto client = connect(), stranger = connect();
  client->send_text(kAsk);
  const std::string id = text(read_until(*client, "response.output_text.delta"), "response_id");
  stranger->send_text(R"({"type":"response.cancel","response_id":")" + id + "\"}");
  EXPECT_EQ(text(parse(stranger->read_text()), "code"), "not_found");
  EXPECT_EQ(text(read_until(*client, "response.output_text.delta"), "response_id"), id);
}

TEST_F(ServerTest, CancellingWhatHasEndedIsNotFound) {
  serve();
  auto client = connect();
  client->send_text(kAsk);
  const std::string id = text(read_until(*client, "response.completed"), "response_id");
  // The worker may need a moment to tidy up after the final event; until then the cancel does nothing.
  for (std::string code; code != "not_found";) {
    client->send_text(R"({"type":"response.cancel","response_id":")" + id + "\"}");
    client->send_text(R"({"type":"response.cancel","response_id":"unknown"})");
    const rapidjson::Document error = parse(client->read_text());
    code = text(error, "code");
    ASSERT_EQ(code, "not_found");
    EXPECT_EQ(text(error, "param"), "response_id");
  }
}

TEST_F(ServerTest, DisconnectingCancels) {
  serve(std::make_shared<Scripted>(Scripted::kEndless));
  auto client = connect();
  client->send_text(kAsk);
  read_until(*client, "response.output_text.delta");
  client->disconnect();
  EXPECT_TRUE(generator_->wait_for_running(0));
}

TEST_F(ServerTest, AClosedClientGetsItsCloseFrameBack) {
  serve(std::make_shared<Scripted>(Scripted::kEndless));
  auto client = connect();
  client->send_text(kAsk);
  read_until(*client, "response.output_text.delta");
  client->send_frame(WebsocketClient::kClose, std::string("\x03\xE8", 2));
  EXPECT_EQ(client->wait_for_close(), 1000);
  EXPECT_TRUE(generator_->wait_for_running(0));
}

TEST_F(ServerTest, AQuestionMayGoOnFromAnAnswerOfAnyConnection) {
  serve();
  auto client = connect(), other = connect();
  client->send_text(kAsk);
  const std::string id = text(read_until(*client, "response.completed"), "response_id");
  for (WebsocketClient* next : {client.get(), other.get()}) {
    next->send_text(R"({"type":"response.create","input":"And why?","previous_response_id":")" + id + "\"}");
    const rapidjson::Document last = read_until(*next, "response.completed");
    EXPECT_EQ(text(last["response"], "previous_response_id"), id);
  }
  client->send_text(R"({"type":"response.create","input":"And why?","previous_response_id":"resp_0","stream_id":"s"})");
  const rapidjson::Document error = parse(client->read_text());
  EXPECT_EQ(text(error, "code"), "not_found");
  EXPECT_EQ(text(error, "param"), "previous_response_id");
  EXPECT_EQ(text(error, "stream_id"), "s");
  expect_working(*client);
}

TEST_F(ServerTest, ABadRequestIsAnErrorAndTheConnectionGoesOn) {
  serve();
  auto client = connect();
  const auto code_of = [&](const std::string& message) {
    client->send_text(message);
    const rapidjson::Document error = parse(client->read_text());
    EXPECT_EQ(text(error, "type"), "error");
    EXPECT_NE(text(error, "message"), "");
    return text(error, "code");
  };
  for (const char* bad : {"{", "", "null", "[]", "42", R"({"type":"response.create"})", R"({"type":"nonsense"})",
                          R"({"type":"response.create","input":""})", R"({"type":"response.create","input":7})",
                          R"({"type":"response.create","input":"x"} trailing)", R"({"type":"response.cancel"})",
                          R"({"type":"response.create","input":"x","temperature":1e400})",
                          R"({"type":"response.create","input":"\ud800"})"})
    EXPECT_EQ(code_of(bad), "invalid_argument") << bad;
  EXPECT_EQ(code_of(std::string(10'000, '[')), "limit_exceeded");
  EXPECT_EQ(code_of(R"({"type":"response.create","input":")" + std::string(20'000, 'x') + "\"}"), "limit_exceeded");
  expect_working(*client);
}

TEST_F(ServerTest, TooManyAnswersOnOneConnectionAreRefused) {
  Server::Options options;
  options.max_answers_per_connection = 2;
  serve(std::make_shared<Scripted>(Scripted::kEndless), options);
  auto client = connect();
  for (int i = 0; i < 3; ++i)
    client->send_text(R"({"type":"response.create","input":"mill?","stream_id":")" + std::to_string(i) + "\"}");
  const rapidjson::Document error = read_until(*client, "error");
  EXPECT_EQ(text(error, "code"), "busy");
  EXPECT_EQ(text(error, "stream_id"), "2");
}

TEST_F(ServerTest, AFullServerSaysBusyAndServesAgainLater) {
  Server::Options options;
  options.max_running = 1;
  options.max_waiting = 1;
  serve(std::make_shared<Scripted>(Scripted::kEndless), options);
  auto first = connect(), second = connect(), third = connect();
  first->send_text(kAsk);
  EXPECT_TRUE(generator_->wait_for_running(1));
  second->send_text(kAsk);
  second->send_text("{");
  EXPECT_EQ(text(parse(second->read_text()), "code"), "invalid_argument");   // so the question before it was taken
  third->send_text(kAsk);
  const rapidjson::Document refused = parse(third->read_text());
  EXPECT_EQ(text(refused, "code"), "busy");
  EXPECT_EQ(refused["wenqu"]["retry_after_ms"].GetInt(), 5000);
  first->disconnect();
  EXPECT_EQ(text(parse(second->read_text()), "type"), "response.created");
}

TEST_F(ServerTest, AQuestionWhoseClientIsGoneKeepsNobodyOut) {
  Server::Options options;
  options.max_running = 1;
  options.max_waiting = 1;
  serve(std::make_shared<Scripted>(Scripted::kEndless), options);
  auto first = connect(), gone = connect(), third = connect();
  first->send_text(kAsk);
  EXPECT_TRUE(generator_->wait_for_running(1));
  gone->send_text(kAsk);
  gone->send_text("{");
  EXPECT_EQ(text(parse(gone->read_text()), "code"), "invalid_argument");
  gone->disconnect();
  // Until the server has seen it go, there is no room.
  std::string code = "busy";
  for (int tries = 0; code == "busy" && tries < 10'000; ++tries) {
    third->send_text(kAsk);
    third->send_text("{");
    code = text(parse(third->read_text()), "code");
    if (code == "busy") parse(third->read_text());
  }
  EXPECT_EQ(code, "invalid_argument");   // so the question before it was taken
}

TEST_F(ServerTest, AStreamIsCancelledBeforeItsAnswerHasBegun) {
  Server::Options options;
  options.max_running = 1;
  serve(std::make_shared<Scripted>(Scripted::kEndless), options);
  auto first = connect(), second = connect();
  first->send_text(R"({"type":"response.create","input":"mill?","stream_id":"a"})");
  EXPECT_TRUE(generator_->wait_for_running(1));
  for (int i = 0; i < 2; ++i) second->send_text(R"({"type":"response.create","input":"mill?","stream_id":"b"})");
  second->send_text(R"({"type":"response.cancel","stream_id":"a"})");   // is another connection's
  EXPECT_EQ(text(parse(second->read_text()), "code"), "not_found");
  second->send_text(R"({"type":"response.cancel","stream_id":"b"})");
  for (int i = 0; i < 2; ++i) {
    const rapidjson::Document cancelled = parse(second->read_text());
    EXPECT_EQ(text(cancelled, "type"), "error");
    EXPECT_EQ(text(cancelled, "code"), "cancelled");
    EXPECT_EQ(text(cancelled, "stream_id"), "b");
  }
  first->send_text(R"({"type":"response.cancel","stream_id":"a"})");
  EXPECT_EQ(text(read_until(*first, "response.incomplete")["response"]["incomplete_details"], "reason"), "cancelled");
  second->send_text(kAsk);
  EXPECT_EQ(text(parse(second->read_text()), "type"), "response.created");
}

TEST_F(ServerTest, ATimeLimitCountsFromTheAsking) {
  Server::Options options;
  options.max_running = 1;
  serve(std::make_shared<Scripted>(Scripted::kEndless), options);
  auto first = connect(), second = connect();
  first->send_text(kAsk);
  EXPECT_TRUE(generator_->wait_for_running(1));
  second->send_text(R"({"type":"response.create","input":"mill?","wenqu":{"time_limit_seconds":0.2}})");
  second->send_text("{");
  EXPECT_EQ(text(parse(second->read_text()), "code"), "invalid_argument");   // so the question before it was taken
  std::this_thread::sleep_for(std::chrono::milliseconds(250));
  first->disconnect();
  rapidjson::Document last;
  EXPECT_EQ(read_answer(*second, &last), (std::vector<std::string>{"response.created", "response.in_progress", "response.incomplete"}));
  EXPECT_EQ(text(last["response"]["incomplete_details"], "reason"), "deadline_exceeded");
}

TEST_F(ServerTest, ClientsThatDoNotReadKeepNoOtherWaiting) {
  Server::Options options;
  options.max_queue_bytes = 16 << 10;
  options.max_running = 1;
  serve(std::make_shared<Scripted>(Scripted::kEndless, std::string(4096, 'x')), options);
  auto first = connect(4096), second = connect(4096), reader = connect();
  first->send_text(kAsk);
  second->send_text(kAsk);
  EXPECT_TRUE(generator_->wait_for_running(2));   // though one runs at once, and no answer ends
  reader->send_text(kAsk);
  EXPECT_EQ(text(parse(reader->read_text()), "type"), "response.created");
}

TEST_F(ServerTest, WhereTooManyDoNotReadTheyAreGivenUpSooner) {
  Server::Options options;
  options.max_queue_bytes = 16 << 10;
  options.max_running = 1;
  options.max_stalled = 0;
  options.crowded_send_timeout = std::chrono::milliseconds(100);
  serve(std::make_shared<Scripted>(Scripted::kEndless, std::string(4096, 'x')), options);
  auto stalled = connect(4096), reader = connect();
  stalled->send_text(kAsk);
  EXPECT_TRUE(generator_->wait_for_running(1));
  reader->send_text(kAsk);
  EXPECT_EQ(text(parse(reader->read_text()), "type"), "response.created");
  EXPECT_NE(log().find("did not read"), std::string::npos);
}

TEST_F(ServerTest, AClientThatReadsALongMessageSlowlyIsNotTakenForDead) {
  Server::Options options;
  options.max_queue_bytes = 16 << 10;
  options.ping_interval = std::chrono::milliseconds(1'000);
  options.send_timeout = std::chrono::milliseconds(2'000);
  serve(std::make_shared<Scripted>(3, std::string(1 << 20, 'x')), options);
  auto client = connect(4096);
  client->send_text(kAsk);
  client->read_slowly();   // two and a half seconds at least
  EXPECT_EQ(text(read_until(*client, "response.output_text.delta"), "delta").size(), size_t{1} << 20);
}

TEST_F(ServerTest, AClientThatIsToGoAndTakesNothingKeepsNoPlace) {
  for (const bool leaves : {true, false}) {   // false: it errs, and is told goodbye behind what it does not take
    Server::Options options;
    options.max_connections = 1;
    options.handshake_timeout = std::chrono::milliseconds(2'000);
    serve(std::make_shared<Scripted>(Scripted::kEndless, std::string(4096, 'x')), options);
    auto stalled = connect(4096);
    stalled->send_text(kAsk);
    EXPECT_TRUE(generator_->wait_for_running(1));
    for (size_t before = 0, now = 1; before != now;) {   // until the server can send no more
      before = generator_->bytes_written();
      std::this_thread::sleep_for(std::chrono::milliseconds(200));
      now = generator_->bytes_written();
    }
    if (leaves)
      stalled->send_no_more();
    else
      stalled->send_frame(WebsocketClient::kBinary, "x");
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(15);   // not as long as silence and a ping take
    int status = 503;
    while (status == 503 && std::chrono::steady_clock::now() < end) {
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
      status = WebsocketClient(server_->port()).upgrade();
    }
    EXPECT_EQ(status, 101) << leaves;
  }
}

TEST_F(ServerTest, AFailureIsLoggedAndItsPlaceIsNotForTheClient) {
  serve(std::make_shared<Scripted>(), {}, std::make_shared<OutOfReach>());
  auto client = connect();
  client->send_text(kAsk);
  const rapidjson::Document failed = read_until(*client, "response.failed");
  EXPECT_EQ(text(failed["response"]["error"], "code"), "io_error");
  EXPECT_EQ(text(failed["response"]["error"], "message"), "the connection was refused");
  EXPECT_EQ(log(), "an answer failed: io_error at https://10.0.0.5:9200/notes (" + text(failed, "response_id") + ")\n");
}

TEST_F(ServerTest, BeyondLoopbackItWarnsAndIsKnownByTheAddressItIsReachedAt) {
  Server::Options options;
  options.address = "0.0.0.0";
  options.token = "0123456789abcdef";
  options.allowed_hosts = {"wenqu.home"};
  serve(std::make_shared<Scripted>(), options);
  EXPECT_NE(log().find("no TLS"), std::string::npos);
  const auto upgrade = [&](const std::string& host) {
    return WebsocketClient(server_->port()).upgrade("Authorization: Bearer 0123456789abcdef\r\nHost: " + host + "\r\n");
  };
  EXPECT_EQ(upgrade("wenqu.home"), 101);
  EXPECT_EQ(upgrade("localhost"), 101);
  EXPECT_EQ(upgrade("127.0.0.1:8377"), 101);
  EXPECT_EQ(upgrade("evil.com"), 403);
}

TEST_F(ServerTest, ASlowReaderGetsEverything) {
  Server::Options options;
  options.max_queue_bytes = 4096;
  serve(std::make_shared<Scripted>(300, std::string(1000, 'x')), options);
  auto client = connect(4096);
  client->send_text(kAsk);
  EXPECT_EQ(read_answer(*client).size(), 12u + 300u);
}

TEST_F(ServerTest, AClientThatDoesNotReadCostsBoundedMemoryAndIsDropped) {
  Server::Options options;
  options.max_queue_bytes = 64 << 10;
  options.send_timeout = std::chrono::milliseconds(200);
  serve(std::make_shared<Scripted>(Scripted::kEndless, std::string(4096, 'x')), options);
  auto client = connect(4096);
  client->send_text(kAsk);
  EXPECT_TRUE(generator_->wait_for_running(1));
  EXPECT_TRUE(generator_->wait_for_running(0));
  // What the system's socket buffers take comes on top of the queue.
  EXPECT_LT(generator_->bytes_written(), 16u << 20);
  while (client->read_frame()) {
  }
  EXPECT_NE(log().find("did not read"), std::string::npos);
}

TEST_F(ServerTest, AClientThatReadsNoErrorsIsDroppedToo) {
  Server::Options options;
  options.max_queue_bytes = 16 << 10;
  serve(std::make_shared<Scripted>(), options);
  auto client = connect(4096);
  std::string many;
  bool open = true;
  for (int i = 0; i < 1'000'000 && open; ++i) open = client->send_text("{");
  EXPECT_FALSE(open);
}

TEST_F(ServerTest, StopSaysGoodbyeAndCancels) {
  serve(std::make_shared<Scripted>(Scripted::kEndless));
  auto busy = connect(), quiet = connect();
  busy->send_text(kAsk);
  read_until(*busy, "response.output_text.delta");
  std::thread stopper([&] { server_->stop(); });
  EXPECT_EQ(text(read_until(*busy, "response.incomplete")["response"]["incomplete_details"], "reason"), "cancelled");
  EXPECT_EQ(busy->wait_for_close(), 1001);
  EXPECT_EQ(quiet->wait_for_close(), 1001);
  busy->disconnect();
  quiet->disconnect();
  stopper.join();
  server_->wait();
  server_->stop();
  EXPECT_TRUE(generator_->wait_for_running(0));
  WebsocketClient late(server_->port());
  EXPECT_EQ(late.upgrade(), 0);
}

TEST_F(ServerTest, StopDoesNotWaitForDeafClients) {
  Server::Options options;
  options.drain_timeout = std::chrono::milliseconds(100);
  serve(std::make_shared<Scripted>(Scripted::kEndless, std::string(4096, 'x')), options);
  auto deaf = connect(4096);
  deaf->send_text(kAsk);
  EXPECT_TRUE(generator_->wait_for_running(1));
  WebsocketClient silent(server_->port());
  server_->stop();
  EXPECT_TRUE(generator_->wait_for_running(0));
}

TEST_F(ServerTest, APortInUseIsAClearError) {
  serve();
  Server::Options options;
  options.port = server_->port();
  const auto second = Server::start(
      std::make_shared<assistant::Assistant>(std::make_shared<OnePassage>(), std::make_shared<Scripted>()), options);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.status().code(), StatusCode::busy);
  EXPECT_NE(second.status().to_string().find(std::to_string(options.port)), std::string::npos);
}

TEST_F(ServerTest, BadAddressesAreClearErrors) {
  const auto code = [](const std::string& address, const std::string& token = "") {
    Server::Options options;
    options.address = address;
    options.token = token;
    const auto server = Server::start(
        std::make_shared<assistant::Assistant>(std::make_shared<OnePassage>(), std::make_shared<Scripted>()), options);
    return server.status().code();
  };
  EXPECT_EQ(code("not-an-address"), StatusCode::invalid_argument);
  EXPECT_EQ(code("0.0.0.0"), StatusCode::invalid_argument);   // without a token
  EXPECT_EQ(code("127.0.0.1", "short"), StatusCode::invalid_argument);
  EXPECT_EQ(code("192.0.2.1", "0123456789abcdef"), StatusCode::io_error);   // not of this machine
  EXPECT_EQ(code("localhost"), StatusCode::ok);
}

}  // namespace
}  // namespace wenqu::net
