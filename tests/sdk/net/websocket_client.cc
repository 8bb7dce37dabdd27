#include "tests/sdk/net/websocket_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <thread>
#include <utility>

namespace wenqu::net {

WebsocketClient::WebsocketClient(uint16_t port, int receive_buffer) {
  fd_ = ::socket(AF_INET, SOCK_STREAM, 0);
  if (receive_buffer) ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof(receive_buffer));
  const timeval limit{20, 0};
  ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  ::setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) disconnect();
}

void WebsocketClient::send_no_more() { ::shutdown(fd_, SHUT_WR); }

void WebsocketClient::disconnect() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

bool WebsocketClient::send_raw(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
  return true;
}

bool WebsocketClient::fill() {
  char bytes[16384];
  if (slow_) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  const ssize_t got = ::recv(fd_, bytes, slow_ ? 2048 : sizeof(bytes), 0);
  if (got <= 0) return false;
  buffer_.append(bytes, static_cast<size_t>(got));
  return true;
}

std::string WebsocketClient::read_all() {
  while (fill()) {
  }
  return std::exchange(buffer_, {});
}

std::string WebsocketClient::get(const std::string& path, const std::string& headers) {
  send_raw("GET " + path + " HTTP/1.1\r\n" + (headers.find("Host:") == std::string::npos ? "Host: localhost\r\n" : "") +
           headers + "\r\n");
  return read_all();
}

int WebsocketClient::upgrade(const std::string& headers, const std::string& path) {
  send_raw("GET " + path + " HTTP/1.1\r\n" + (headers.find("Host:") == std::string::npos ? "Host: localhost\r\n" : "") +
           "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
           "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
           headers + "\r\n");
  size_t end = std::string::npos;
  while ((end = buffer_.find("\r\n\r\n")) == std::string::npos)
    if (!fill()) return 0;
  response_headers_ = buffer_.substr(0, end + 2);
  buffer_.erase(0, end + 4);
  return response_headers_.size() > 12 ? std::atoi(response_headers_.c_str() + 9) : 0;
}

bool WebsocketClient::send_frame(int opcode, std::string_view payload, bool fin, bool masked, int reserved_bits) {
  std::string frame;
  frame += static_cast<char>((fin ? 0x80 : 0) | reserved_bits << 4 | opcode);
  const int mask_bit = masked ? 0x80 : 0;
  if (payload.size() < 126) {
    frame += static_cast<char>(mask_bit | static_cast<int>(payload.size()));
  } else {
    const int bytes = payload.size() < 65536 ? 2 : 8;
    frame += static_cast<char>(mask_bit | (bytes == 2 ? 126 : 127));
    for (int i = bytes - 1; i >= 0; --i) frame += static_cast<char>(payload.size() >> (8 * i) & 0xFF);
  }
  if (masked) {
    const char mask[4] = {0x12, 0x34, 0x56, 0x78};
    frame.append(mask, 4);
    for (size_t i = 0; i < payload.size(); ++i) frame += static_cast<char>(payload[i] ^ mask[i % 4]);
  } else {
    frame += payload;
  }
  return send_raw(frame);
}

std::optional<Frame> WebsocketClient::read_frame() {
  const auto need = [&](size_t bytes) {
    while (buffer_.size() < bytes)
      if (!fill()) return false;
    return true;
  };
  if (!need(2)) return std::nullopt;
  const auto byte = [&](size_t i) { return static_cast<uint64_t>(static_cast<unsigned char>(buffer_[i])); };
  Frame frame;
  frame.fin = byte(0) & 0x80;
  frame.opcode = static_cast<int>(byte(0) & 0x0F);
  uint64_t length = byte(1) & 0x7F;
  size_t header = 2;
  if (length >= 126) {
    header += length == 126 ? 2 : 8;
    if (!need(header)) return std::nullopt;
    length = 0;
    for (size_t i = 2; i < header; ++i) length = length << 8 | byte(i);
  }
  if (!need(header + length)) return std::nullopt;
  frame.payload = buffer_.substr(header, length);
  buffer_.erase(0, header + length);
  return frame;
}

std::optional<std::string> WebsocketClient::read_text() {
  while (std::optional<Frame> frame = read_frame()) {
    if (frame->opcode == kText) return std::move(frame->payload);
    if (frame->opcode == kPing) send_frame(kPong, frame->payload);
    if (frame->opcode != kClose) continue;
    if (frame->payload.size() >= 2)
      close_code_ = static_cast<unsigned char>(frame->payload[0]) << 8 | static_cast<unsigned char>(frame->payload[1]);
    send_frame(kClose, frame->payload);
    return std::nullopt;
  }
  return std::nullopt;
}

int WebsocketClient::wait_for_close() {
  while (read_text()) {
  }
  return close_code_;
}

}  // namespace wenqu::net
