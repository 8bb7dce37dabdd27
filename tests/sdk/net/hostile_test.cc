// What no honest client sends: each is refused, and the next client is served.
#include "tests/sdk/net/fixture.h"

namespace wenqu::net {
namespace {

class HostileTest : public ServerTest {
 protected:
  void SetUp() override {
    Server::Options options;
    options.handshake_timeout = std::chrono::milliseconds(2'000);
    options.allowed_origins = {"https://app.example.com"};
    serve(std::make_shared<Scripted>(), options);
  }
  void TearDown() override {
    if (!server_) return;
    WebsocketClient healthy(server_->port());
    ASSERT_EQ(healthy.upgrade(), 101);
    expect_working(healthy);
  }
  // How the server closes after these bytes.
  int close_after(std::string_view bytes) {
    auto client = connect();
    client->send_raw(bytes);
    return client->wait_for_close();
  }
  int status_of(const std::string& request) {
    WebsocketClient client(server_->port());
    client.send_raw(request);
    const std::string response = client.read_all();
    return response.size() > 12 ? std::atoi(response.c_str() + 9) : 0;
  }
};

std::string bytes(std::initializer_list<int> values) {
  std::string out;
  for (const int value : values) out += static_cast<char>(value);
  return out;
}

TEST_F(HostileTest, BadFramesAreProtocolErrors) {
  EXPECT_EQ(close_after(bytes({0x81, 0x02}) + "hi"), 1002) << "unmasked";
  for (const int opcode : {3, 4, 5, 6, 7, 11, 12, 13, 14, 15})
    EXPECT_EQ(close_after(bytes({0x80 | opcode, 0x80, 1, 2, 3, 4})), 1002) << "opcode " << opcode;
  for (const int reserved : {0x40, 0x20, 0x10, 0x70})
    EXPECT_EQ(close_after(bytes({0x81 | reserved, 0x80, 1, 2, 3, 4})), 1002) << "reserved bits " << reserved;
  EXPECT_EQ(close_after(bytes({0x89, 0xFE, 0, 126, 1, 2, 3, 4})), 1002) << "long ping";
  EXPECT_EQ(close_after(bytes({0x09, 0x80, 1, 2, 3, 4})), 1002) << "fragmented ping";
  EXPECT_EQ(close_after(bytes({0x80, 0x80, 1, 2, 3, 4})), 1002) << "continuation of nothing";
  EXPECT_EQ(close_after(bytes({0x01, 0x80, 1, 2, 3, 4, 0x81, 0x80, 1, 2, 3, 4})), 1002) << "two beginnings";
  EXPECT_EQ(close_after(bytes({0x88, 0x81, 0, 0, 0, 0, 3})), 1002) << "half a close code";
  for (const int code : {0, 999, 1004, 1005, 1006, 1015, 1016, 2999})
    EXPECT_EQ(close_after(bytes({0x88, 0x82, 0, 0, 0, 0, code >> 8, code & 0xFF})), 1002) << "close code " << code;
}

TEST_F(HostileTest, LengthsAreCheckedBeforeAnythingIsAllocated) {
  EXPECT_EQ(close_after(bytes({0x81, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4})), 1009) << "2^63";
  const int huge = close_after(bytes({0x81, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1, 2, 3, 4}));
  EXPECT_TRUE(huge == 1002 || huge == 1009) << huge;
  EXPECT_EQ(close_after(bytes({0x81, 0xFF, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1, 2, 3, 4})), 1009) << "2^63-1";
  EXPECT_EQ(close_after(bytes({0x81, 0xFE, 0, 5, 1, 2, 3, 4})), 1002) << "not the shortest form";
}

TEST_F(HostileTest, MessagesHaveALimit) {
  auto exact = connect();
  std::string message = kAsk;
  message.resize(64 << 10, ' ');
  exact->send_text(message);
  EXPECT_EQ(read_answer(*exact).back(), "response.completed");
  auto over = connect();
  over->send_text(message + " ");
  EXPECT_EQ(over->wait_for_close(), 1009);
  auto million = connect();
  million->send_text(R"({"type":"response.create","input":")" + std::string(1 << 20, 'x') + "\"}");
  EXPECT_EQ(million->wait_for_close(), 1009);
  auto fragments = connect();
  fragments->send_frame(WebsocketClient::kText, std::string(40'000, ' '), false);
  fragments->send_frame(0, std::string(40'000, ' '), true);
  EXPECT_EQ(fragments->wait_for_close(), 1009);
}

TEST_F(HostileTest, BinaryIsRefused) {
  auto client = connect();
  client->send_frame(WebsocketClient::kBinary, kAsk);
  EXPECT_EQ(client->wait_for_close(), 1003);
}

TEST_F(HostileTest, TextMustBeUtf8) {
  for (const char* bad : {"\xFF", "\xC0\xAF", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xE4\xBD"}) {
    auto client = connect();
    client->send_text(bad);
    EXPECT_EQ(client->wait_for_close(), 1007) << bad;
  }
}

TEST_F(HostileTest, ACharacterMaySpanFragments) {
  auto client = connect();
  const std::string message = R"({"type":"response.create","input":"磨坊几点开门"})";
  client->send_frame(WebsocketClient::kText, message.substr(0, 35), false);
  client->send_frame(WebsocketClient::kPing, "in between");
  client->send_frame(0, message.substr(35), true);
  const auto pong = client->read_frame();
  ASSERT_TRUE(pong);
  EXPECT_EQ(pong->opcode, WebsocketClient::kPong);
  EXPECT_EQ(pong->payload, "in between");
  EXPECT_EQ(read_answer(*client).back(), "response.completed");
}

TEST_F(HostileTest, ManyEmptyFragmentsDoNoHarm) {
  auto client = connect();
  client->send_frame(WebsocketClient::kText, "", false);
  for (int i = 0; i < 20'000; ++i) client->send_frame(0, "", false);
  client->send_frame(0, kAsk, true);
  EXPECT_EQ(read_answer(*client).back(), "response.completed");
}

TEST_F(HostileTest, CompressionIsNotNegotiated) {
  WebsocketClient client(server_->port());
  ASSERT_EQ(client.upgrade("Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"), 101);
  EXPECT_EQ(client.response_headers().find("Sec-WebSocket-Extensions"), std::string::npos);
  // A compressed frame that claims 2^40 bytes.
  client.send_raw(bytes({0xC1, 0xFF, 0, 0, 1, 0, 0, 0, 0, 0, 1, 2, 3, 4, 0x78, 0x9C}));
  EXPECT_EQ(client.wait_for_close(), 1002);
}

TEST_F(HostileTest, ForeignPagesAndNamesAreRefusedBeforeTheUpgrade) {
  const auto upgrade = [&](const std::string& headers) { return WebsocketClient(server_->port()).upgrade(headers); };
  EXPECT_EQ(upgrade("Origin: https://evil.com\r\n"), 403);
  EXPECT_EQ(upgrade("Origin: null\r\n"), 403);
  EXPECT_EQ(upgrade("Origin: http://localhost.evil.com\r\n"), 403);
  EXPECT_EQ(upgrade("Origin: http://localhost:3000\r\n"), 101);
  EXPECT_EQ(upgrade("Origin: https://app.example.com\r\n"), 101);
  EXPECT_EQ(upgrade("Origin: http://localhost\r\nOrigin: https://evil.com\r\n"), 400);
  EXPECT_EQ(upgrade("Host: evil.com\r\n"), 403);
  EXPECT_EQ(upgrade("Host: 127.0.0.1:99\r\n"), 101);
  EXPECT_EQ(upgrade("Host: localhost\r\nHost: evil.com\r\n"), 400);
}

TEST_F(HostileTest, OtherRequestsGetAClearStatus) {
  EXPECT_NE(WebsocketClient(server_->port()).get("/healthz").find(R"({"status":"ok")"), std::string::npos);
  EXPECT_EQ(status_of("GET /../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n"), 404);
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"), 404);
  EXPECT_EQ(status_of("GET http://localhost/v1/responses HTTP/1.1\r\nHost: localhost\r\n\r\n"), 404);
  EXPECT_EQ(status_of("GET /v1/responses HTTP/1.1\r\nHost: localhost\r\n\r\n"), 426);
  EXPECT_EQ(status_of("POST /v1/responses HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}"), 405);
  EXPECT_EQ(status_of("DELETE /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"), 405);
  EXPECT_EQ(status_of("GET /v1/responses HTTP/1.0\r\n\r\n"), 403) << "no Host";
  EXPECT_EQ(status_of("GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"), 400);
  EXPECT_EQ(status_of("GET /healthz HTTP/1.1\r\nHost : localhost\r\n\r\n"), 400);
  EXPECT_EQ(status_of("nonsense\r\n\r\n"), 400);
  EXPECT_EQ(status_of(std::string("GET /\0 HTTP/1.1\r\nHost: localhost\r\n\r\n", 36)), 400);
  EXPECT_EQ(status_of("GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + std::string(9'000, 'x') + "\r\n\r\n"), 431);
}

TEST_F(HostileTest, HealthIsToldUnderAnyName) {
  const std::string known = WebsocketClient(server_->port()).get("/healthz");
  EXPECT_NE(known.find("\"version\""), std::string::npos) << known;
  const std::string other = WebsocketClient(server_->port()).get("/healthz", "Host: evil.com\r\n");
  EXPECT_NE(other.find("200 OK"), std::string::npos) << other;
  EXPECT_EQ(other.find("version"), std::string::npos) << other;
  EXPECT_EQ(status_of("GET /healthz HTTP/1.0\r\n\r\n"), 200) << "no Host";
}

TEST_F(HostileTest, BrokenUpgradesAreRefused) {
  const std::string head = "GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n";
  EXPECT_EQ(status_of(head + "Sec-WebSocket-Version: 8\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"), 426);
  EXPECT_EQ(status_of(head + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"), 426);
  EXPECT_EQ(status_of(head + "Sec-WebSocket-Version: 13\r\n\r\n"), 400) << "no key";
  EXPECT_EQ(status_of(head + "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                             "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"), 400);
}

TEST_F(HostileTest, AHalfSentRequestIsGivenUp) {
  WebsocketClient client(server_->port());
  client.send_raw("GET /healthz HTTP/1.1\r\nHost: loc");
  EXPECT_EQ(client.read_all(), "");   // the server closes after its handshake timeout
}

TEST_F(HostileTest, PingsAreAnswered) {
  auto client = connect();
  for (int i = 0; i < 2'000; ++i) client->send_frame(WebsocketClient::kPing, std::string(125, 'p'));
  for (int i = 0; i < 2'000; ++i) {
    const auto pong = client->read_frame();
    ASSERT_TRUE(pong);
    ASSERT_EQ(pong->opcode, WebsocketClient::kPong);
  }
  client->send_frame(WebsocketClient::kPong, "nobody asked");
  expect_working(*client);
}

TEST_F(ServerTest, TheTokenIsAskedForBeforeTheUpgrade) {
  Server::Options options;
  options.token = "0123456789abcdef";
  serve(std::make_shared<Scripted>(), options);
  const auto upgrade = [&](const std::string& headers) { return WebsocketClient(server_->port()).upgrade(headers); };
  EXPECT_EQ(upgrade(""), 401);
  EXPECT_EQ(upgrade("Authorization: Bearer 0123456789abcdee\r\n"), 401);
  EXPECT_EQ(WebsocketClient(server_->port()).upgrade("", "/ws?token=0123456789abcdef"), 401);
  EXPECT_EQ(upgrade("Authorization: Bearer 0123456789abcdef\r\n"), 101);
  WebsocketClient browser(server_->port());
  EXPECT_EQ(browser.upgrade("Sec-WebSocket-Protocol: wenqu.v1, bearer.0123456789abcdef\r\n"), 101);
  EXPECT_NE(browser.response_headers().find("Sec-WebSocket-Protocol: wenqu.v1\r\n"), std::string::npos);
  expect_working(browser);
}

TEST_F(ServerTest, ConnectionsHaveALimit) {
  Server::Options options;
  options.max_connections = 2;
  serve(std::make_shared<Scripted>(), options);
  auto first = connect(), second = connect();
  EXPECT_EQ(WebsocketClient(server_->port()).upgrade(), 503);
  EXPECT_NE(WebsocketClient(server_->port()).get("/healthz").find("200 OK"), std::string::npos);
  first->disconnect();
  int status = 503;
  for (int tries = 0; status == 503 && tries < 10'000; ++tries) status = WebsocketClient(server_->port()).upgrade();
  EXPECT_EQ(status, 101);
  expect_working(*second);
}

TEST_F(ServerTest, ASilentClientIsPingedAndThenTakenForDead) {
  Server::Options options;
  options.ping_interval = std::chrono::milliseconds(100);
  serve(std::make_shared<Scripted>(), options);
  auto client = connect();
  const auto ping = client->read_frame();
  ASSERT_TRUE(ping);
  EXPECT_EQ(ping->opcode, WebsocketClient::kPing);
  while (client->read_frame()) {   // unanswered
  }
}

}  // namespace
}  // namespace wenqu::net
