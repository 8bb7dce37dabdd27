#include "base/http/http_client.h"

#include <gtest/gtest.h>

#include <memory>
#include <thread>

#include "base/http/url.h"
#include "fault_server.h"

namespace wenqu {
namespace {

using namespace std::chrono_literals;

HttpOptions options_for(const FaultServer& server) {
  HttpOptions options;
  options.url = *parse_url(server.url());
  options.first_pause = 1ms;
  options.longest_pause = 4ms;
  return options;
}

std::unique_ptr<HttpClient> client_of(HttpOptions options) {
  auto client = HttpClient::create(std::move(options));
  EXPECT_TRUE(client) << client.status().to_string();
  return client ? std::move(*client) : nullptr;
}

FaultServer::Script always(std::string bytes, bool closes = false) {
  return [=](const std::string&, size_t) { return FaultServer::Reply{bytes, closes, false}; };
}

TEST(Url, HasItsPartsTakenApart) {
  const auto url = parse_url("https://%E6%9D%8E@Search.Example.com:9200/prefix/notes/");
  ASSERT_TRUE(url) << url.status().to_string();
  EXPECT_TRUE(url->tls);
  EXPECT_EQ(url->user, "李");
  EXPECT_EQ(url->host, "search.example.com");
  EXPECT_EQ(url->port, 9200);
  EXPECT_EQ(url->path, "/prefix/notes");
  EXPECT_EQ(url->to_string(), "https://search.example.com:9200/prefix/notes");
  EXPECT_EQ(parse_url("HTTP://[::1]:81/x")->to_string(), "http://[::1]:81/x");
  EXPECT_EQ(parse_url("https://a")->port, 443);
  EXPECT_EQ(parse_url("http://a")->to_string(), "http://a");
}

TEST(Url, ThatIsNoneIsRefusedAndItsSecretsAreNotTold) {
  for (const char* text :
       {"ftp://host/x", "https://", "https:///x", "https://host:0/x", "https://host:65536/x", "https://host:9x/x",
        "https://ho st/x", "https://host/x?y", "https://host/x#y", "https://[::1/x", "https://[::1]9/x",
        "https://[evil]/x", "https://us%2/x", "https://%zz@h/x", "https://%0a@h/x", "https://h\r\nX: y/x", "nothing",
        "https://user:hunter2@host/x", "https://user:hunt/er2@host/x"}) {
    const auto url = parse_url(text);
    ASSERT_FALSE(url) << text;
    EXPECT_EQ(url.status().code(), StatusCode::invalid_argument) << text;
    EXPECT_EQ(url.status().to_string().find("er2"), std::string::npos) << url.status().to_string();
  }
  EXPECT_EQ(redact_url("https://me:secret@host/x"), "https://***@host/x");
  EXPECT_EQ(redact_url("https://host/x"), "https://host/x");
  EXPECT_TRUE(looks_like_url("htps://x"));
  EXPECT_FALSE(looks_like_url("C:/x"));
  EXPECT_FALSE(looks_like_url("/a://b"));
}

TEST(HttpClient, ReadsAnAnswerHoweverItIsFramed) {
  for (const std::string& bytes :
       {http_answer(200, "{\"a\":1}"),
        std::string("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{\"a\r\n4;x=y\r\n\":1}\r\n0\r\n\r\n"),
        std::string("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"a\":1}")}) {
    FaultServer server(always(bytes, bytes.find("close") != bytes.npos));
    const auto client = client_of(options_for(server));
    const auto answer = client->send({.target = "/x?y=z"}, {});
    ASSERT_TRUE(answer) << answer.status().to_string();
    EXPECT_EQ(answer->status, 200);
    EXPECT_EQ(answer->body, "{\"a\":1}");
    EXPECT_TRUE(server.requests()[0].starts_with("GET /x?y=z HTTP/1.1\r\nHost: 127.0.0.1:")) << server.requests()[0];
  }
}

TEST(HttpClient, SendsWhatItIsGiven) {
  FaultServer server(always(http_answer(201, "")));
  HttpOptions options = options_for(server);
  options.authorization = "ApiKey c2VjcmV0";
  options.url.path = "/prefix";
  const auto client = client_of(options);
  const auto answer = client->send(
      {.method = "POST", .target = "/n/_bulk", .content_type = "application/x-ndjson", .body = "{}\n"}, {});
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 201);
  const std::string request = server.requests()[0];
  EXPECT_TRUE(request.starts_with("POST /prefix/n/_bulk HTTP/1.1\r\n")) << request;
  for (const char* part : {"\r\nAuthorization: ApiKey c2VjcmV0\r\n", "\r\nContent-Type: application/x-ndjson\r\n",
                           "\r\nContent-Length: 3\r\n", "\r\n\r\n{}\n"})
    EXPECT_NE(request.find(part), std::string::npos) << part << " in " << request;
}

TEST(HttpClient, UsesItsConnectionAgain) {
  FaultServer server(always(http_answer(200, "{}")));
  const auto client = client_of(options_for(server));
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(client->send({}, {}));
  EXPECT_EQ(server.connections(), 1u);
}

TEST(HttpClient, ReplacesAKeptConnectionThatTheServerClosedMeanwhile) {
  // It says that it keeps the connection, and closes it all the same.
  FaultServer server(always(http_answer(200, "{}"), true));
  HttpOptions options = options_for(server);
  options.attempts = 1;
  const auto client = client_of(options);
  for (int i = 0; i < 3; ++i) {
    const auto answer = client->send({}, {});
    ASSERT_TRUE(answer) << answer.status().to_string();
  }
  EXPECT_EQ(server.connections(), 3u);
}

TEST(HttpClient, AsksAnOverloadedServerAgain) {
  FaultServer server([](const std::string&, size_t number) {
    return FaultServer::Reply{number < 2 ? http_answer(number == 0 ? 503 : 429, "{}", "Retry-After: 0\r\n")
                                         : http_answer(200, "{}")};
  });
  const auto answer = client_of(options_for(server))->send({}, {});
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 200);
  EXPECT_EQ(server.requests().size(), 3u);
}

TEST(HttpClient, GivesTheLastAnswerWhenTheServerStaysOverloaded) {
  FaultServer server(always(http_answer(503, "busy")));
  const auto client = client_of(options_for(server));
  const auto answer = client->send({}, {});
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 503);
  EXPECT_EQ(answer->body, "busy");
  EXPECT_EQ(server.requests().size(), static_cast<size_t>(client->options().attempts));
}

TEST(HttpClient, SendsOnceWhatMayNotBeRepeated) {
  FaultServer server(always(http_answer(503, "")));
  const auto answer = client_of(options_for(server))->send({.method = "POST", .repeatable = false}, {});
  ASSERT_TRUE(answer);
  EXPECT_EQ(server.requests().size(), 1u);
}

TEST(HttpClient, TriesABrokenConnectionAgainAndTellsOfItAtLast) {
  FaultServer recovers([](const std::string&, size_t number) {
    if (number == 0) return FaultServer::Reply{"", true};
    if (number == 1) return FaultServer::Reply{"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", true};
    return FaultServer::Reply{http_answer(200, "{}")};
  });
  const auto answer = client_of(options_for(recovers))->send({}, {});
  ASSERT_TRUE(answer) << answer.status().to_string();
  EXPECT_EQ(answer->body, "{}");
  FaultServer dead(always("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", true));
  HttpOptions options = options_for(dead);
  options.authorization = "Bearer hunter2";
  const auto failed = client_of(options)->send({}, {});
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.status().code(), StatusCode::io_error);
  EXPECT_EQ(failed.status().to_string().find("hunter2"), std::string::npos);
}

TEST(HttpClient, TellsWhereNobodyListens) {
  HttpOptions options;
  {
    FaultServer gone(always(""));
    options = options_for(gone);
  }
  const auto answer = client_of(options)->send({}, {});
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.status().code(), StatusCode::io_error);
  EXPECT_NE(answer.status().message().find("cannot connect"), std::string::npos) << answer.status().to_string();
}

TEST(HttpClient, GivesUpAServerThatSaysNothingMore) {
  for (const char* bytes : {"", "HTTP/1.1 200 OK\r\nContent-Le", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nslow"}) {
    FaultServer server([bytes](const std::string&, size_t) { return FaultServer::Reply{bytes, false, true}; });
    HttpOptions options = options_for(server);
    options.timeout = 100ms;
    const auto answer = client_of(options)->send({}, {});
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.status().code(), StatusCode::timeout) << answer.status().to_string();
  }
}

TEST(HttpClient, IsCancelledWhileItWaits) {
  FaultServer server([](const std::string&, size_t) { return FaultServer::Reply{"", false, true}; });
  CancelSource source;
  std::thread canceller([&] {
    while (server.requests().empty()) std::this_thread::yield();
    source.cancel();
  });
  const auto answer = client_of(options_for(server))->send({}, source.token());
  canceller.join();
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.status().code(), StatusCode::cancelled);
}

TEST(HttpClient, IsCancelledBetweenAttempts) {
  CancelSource source;
  FaultServer server([&](const std::string&, size_t) {
    source.cancel();
    return FaultServer::Reply{http_answer(503, "", "Retry-After: 20\r\n")};
  });
  const auto answer = client_of(options_for(server))->send({}, source.token());
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.status().code(), StatusCode::cancelled);
}

TEST(HttpClient, TakesNoBodyBeyondItsLimit) {
  std::string chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (int i = 0; i < 40; ++i) chunked += "40\r\n" + std::string(64, 'x') + "\r\n";
  for (const std::string& bytes :
       {std::string("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999\r\n\r\nx"),
        http_answer(200, std::string(1025, 'x')), chunked, "HTTP/1.1 200 OK\r\n\r\n" + std::string(5000, 'x')}) {
    FaultServer server(always(bytes, true));
    HttpOptions options = options_for(server);
    options.max_response_bytes = 1024;
    const auto answer = client_of(options)->send({}, {});
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.status().code(), StatusCode::limit_exceeded) << answer.status().to_string();
    EXPECT_EQ(server.requests().size(), 1u);
  }
}

TEST(HttpClient, TellsWhatIsNotHttp) {
  for (const std::string& bytes : {std::string("SSH-2.0-OpenSSH_9.2\r\n\r\n"), std::string("HTTP/1.1 abc\r\n\r\n"),
                                   std::string("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"),
                                   "HTTP/1.1 200 OK\r\nX: " + std::string(100'000, 'x') + "\r\n\r\n"}) {
    FaultServer server(always(bytes, true));
    const auto answer = client_of(options_for(server))->send({}, {});
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.status().code(), StatusCode::corrupt)
        << bytes.substr(0, 30) << ": " << answer.status().to_string();
  }
}

TEST(HttpClient, MayBeUsedByManyThreads) {
  FaultServer server(always(http_answer(200, "{}")));
  const auto client = client_of(options_for(server));
  std::atomic<int> answered = 0;
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t)
      threads.emplace_back([&] {
        for (int i = 0; i < 20; ++i) answered += client->send({}, {}).is_ok();
      });
  }
  EXPECT_EQ(answered, 80);
}

TEST(HttpClient, RefusesCredentialsThatAreNoHeaderAndAuthoritiesThatAreNone) {
  FaultServer server(always(""));
  HttpOptions options = options_for(server);
  options.authorization = "Bearer a\r\nX-Evil: b";
  EXPECT_EQ(HttpClient::create(options).status().code(), StatusCode::invalid_argument);
  options.authorization.clear();
  options.url.tls = true;
  options.ca_file = "/nonexistent/ca.pem";
  const auto client = HttpClient::create(options);
  EXPECT_EQ(client.status().code(), StatusCode::not_found);
  EXPECT_NE(client.status().to_string().find("/nonexistent/ca.pem"), std::string::npos);
}

TEST(HttpClient, TellsThatAServerDoesNotSpeakTls) {
  FaultServer server(always("HTTP/1.1 400 Bad Request\r\n\r\n", true));
  HttpOptions options = options_for(server);
  options.url.tls = true;
  options.attempts = 1;
  options.timeout = 300ms;
  const auto answer = client_of(options)->send({}, {});
  ASSERT_FALSE(answer);
  EXPECT_TRUE(answer.status().code() == StatusCode::io_error || answer.status().code() == StatusCode::timeout)
      << answer.status().to_string();
}

TEST(Pauses, DoubleUpToTheLongest) {
  for (int number = 2; number < 40; ++number) {
    const auto pause = pause_before(number, 100ms, 5000ms);
    EXPECT_LE(pause, 5000ms);
    EXPECT_GE(pause, number < 8 ? 50ms * (1 << (number - 2)) : 2500ms);
  }
}

}  // namespace
}  // namespace wenqu
