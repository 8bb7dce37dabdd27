// A server on loopback that says exactly the bytes a test wants, and keeps what it was asked.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace wenqu {

class FaultServer {
 public:
  struct Reply {
    std::string bytes;
    bool closes = false;  // the connection, when they are sent
    bool hangs = false;   // says nothing more, and keeps the connection until the server ends
  };
  // Gives the reply to the request (head and body) of that number, from 0. Called by one connection at a time.
  using Script = std::function<Reply(const std::string& request, size_t number)>;

  explicit FaultServer(Script script);
  ~FaultServer();

  uint16_t port() const { return port_; }
  std::string url(const std::string& path = {}) const { return "http://127.0.0.1:" + std::to_string(port_) + path; }
  std::vector<std::string> requests() const;
  size_t connections() const { return connections_; }

 private:
  void accept_all();
  void serve(int connection);

  const Script script_;
  int listener_ = -1;
  uint16_t port_ = 0;
  std::atomic<bool> ends_{false};
  std::atomic<size_t> connections_{0};
  mutable std::mutex mutex_;
  std::vector<std::string> requests_;
  std::thread acceptor_;
  std::vector<std::thread> threads_;
};

// A whole answer with this body.
std::string http_answer(int status, const std::string& body, const std::string& more_headers = {});

}  // namespace wenqu
