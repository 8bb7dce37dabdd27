// What a server may be told; the defaults suit one user on one machine.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace wenqu::net {

struct ServerOptions {
  std::string address = "127.0.0.1";         // an IP address or "localhost"; beyond loopback a token is needed
  uint16_t port = 0;                         // 0: the system chooses one
  std::string token;                         // asked of every client; empty: none
  std::vector<std::string> allowed_origins;  // of web pages, besides those served from loopback
  std::vector<std::string> allowed_hosts;    // names under which clients may know the server

  size_t max_connections = 256;
  size_t max_header_bytes = 8 << 10;
  size_t max_message_bytes = 64 << 10;       // of a client's message
  size_t max_queue_bytes = 1 << 20;          // events one connection has not read yet; then its answers wait
  size_t socket_send_bytes = 64 << 10;       // about what the system may hold of them besides, for what moves to be seen soon
  size_t max_answers_per_connection = 8;
  size_t max_running = 2;                    // answers computed at once, each on a thread of its own
  size_t max_waiting = 64;                   // answers that wait for such a thread
  size_t max_stalled = 8;                    // answers besides, whose clients are behind with their reading: each holds what memory it has

  std::chrono::milliseconds handshake_timeout{10'000};  // from connecting to the end of the upgrade, and for closing
  std::chrono::milliseconds ping_interval{20'000};      // of silence; after another one the client is taken for dead
  std::chrono::milliseconds send_timeout{30'000};       // for a client with a full queue to take some of it
  std::chrono::milliseconds crowded_send_timeout{1'000};  // the same while max_stalled answers wait for theirs already
  std::chrono::milliseconds retry_after{5'000};         // told to clients that find no room
  std::chrono::milliseconds drain_timeout{5'000};       // for stop() to end answers and say goodbye

  // Told what an operator should know, a line at a time without a line break and with nothing in it
  // that a client wrote. Called from the server's threads, one call at a time; must not throw.
  std::function<void(std::string_view line)> log;
};

}  // namespace wenqu::net
