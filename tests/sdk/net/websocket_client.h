// A websocket client on a plain socket, independent of the library under test, that can also send
// what no honest client would. Reads give up after 20 seconds, so a test cannot hang.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace wenqu::net {

struct Frame {
  int opcode = 0;
  bool fin = true;
  std::string payload;
};

class WebsocketClient {
 public:
  static constexpr int kText = 1, kBinary = 2, kClose = 8, kPing = 9, kPong = 10;

  // receive_buffer 0: the system's default.
  explicit WebsocketClient(uint16_t port, int receive_buffer = 0);
  ~WebsocketClient() { disconnect(); }
  WebsocketClient(const WebsocketClient&) = delete;
  WebsocketClient& operator=(const WebsocketClient&) = delete;

  bool send_raw(std::string_view bytes);
  // Everything up to the end of the connection.
  std::string read_all();
  // A GET of `path` with "Host: localhost", unless `headers` has a Host; the whole response.
  std::string get(const std::string& path, const std::string& headers = "");

  // The status of the answer to an upgrade request; 101 when the websocket is open.
  int upgrade(const std::string& headers = "", const std::string& path = "/v1/responses");
  const std::string& response_headers() const { return response_headers_; }

  bool send_text(std::string_view text) { return send_frame(kText, text); }
  bool send_frame(int opcode, std::string_view payload, bool fin = true, bool masked = true, int reserved_bits = 0);
  // Nothing at the end of the connection.
  std::optional<Frame> read_frame();
  // The next text message; pings are answered on the way. Nothing when the server closes, with the
  // code in close_code() (0: without a close frame).
  std::optional<std::string> read_text();
  int close_code() const { return close_code_; }
  // Reads until the server closes.
  int wait_for_close();
  // From now on 2 KiB in 5 milliseconds at most.
  void read_slowly() { slow_ = true; }

  // The server reads an end; what it sends can still be read.
  void send_no_more();
  void disconnect();

 private:
  bool fill();

  int fd_ = -1;
  bool slow_ = false;
  std::string buffer_;
  std::string response_headers_;
  int close_code_ = 0;
};

}  // namespace wenqu::net
