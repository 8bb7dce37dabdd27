#include "fault_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>

namespace wenqu {
namespace {

// Whether there is something to read, or the other side has left; false when the server ends first.
bool wait_for(int socket, const std::atomic<bool>& ends) {
  while (!ends) {
    pollfd wanted{socket, POLLIN, 0};
    if (::poll(&wanted, 1, 10) > 0) return true;
  }
  return false;
}

// The bytes of the first request in the text; 0 while it is not whole.
size_t request_size(const std::string& text) {
  const size_t head = text.find("\r\n\r\n");
  if (head == text.npos) return 0;
  const size_t length = text.find("Content-Length: ");
  const size_t body = length < head ? static_cast<size_t>(std::atoll(text.c_str() + length + 16)) : 0;
  return text.size() >= head + 4 + body ? head + 4 + body : 0;
}

}  // namespace

FaultServer::FaultServer(Script script) : script_(std::move(script)) {
  listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  if (::bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 || ::listen(listener_, 16) != 0 ||
      ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0)
    std::abort();
  port_ = ntohs(address.sin_port);
  acceptor_ = std::thread([this] { accept_all(); });
}

FaultServer::~FaultServer() {
  ends_ = true;
  acceptor_.join();
  for (std::thread& thread : threads_) thread.join();
  ::close(listener_);
}

std::vector<std::string> FaultServer::requests() const {
  const std::lock_guard lock(mutex_);
  return requests_;
}

void FaultServer::accept_all() {
  while (wait_for(listener_, ends_)) {
    const int connection = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (connection < 0) continue;
    ++connections_;
    threads_.emplace_back([this, connection] { serve(connection); });
  }
}

void FaultServer::serve(int connection) {
  std::string text;
  char piece[4096];
  bool open = true;
  while (open && wait_for(connection, ends_)) {
    const ssize_t count = ::recv(connection, piece, sizeof piece, 0);
    if (count <= 0) break;
    text.append(piece, static_cast<size_t>(count));
    for (size_t size = request_size(text); open && size > 0; size = request_size(text)) {
      Reply reply;
      {
        const std::lock_guard lock(mutex_);
        requests_.push_back(text.substr(0, size));
        reply = script_(requests_.back(), requests_.size() - 1);
      }
      text.erase(0, size);
      for (size_t sent = 0; sent < reply.bytes.size();) {
        const ssize_t part = ::send(connection, reply.bytes.data() + sent, reply.bytes.size() - sent, MSG_NOSIGNAL);
        if (part <= 0) break;
        sent += static_cast<size_t>(part);
      }
      open = !reply.closes;
      // What the other side still says is read and forgotten, until it leaves.
      while (reply.hangs && wait_for(connection, ends_) && ::recv(connection, piece, sizeof piece, 0) > 0) {
      }
    }
  }
  ::close(connection);
}

std::string http_answer(int status, const std::string& body, const std::string& more_headers) {
  return "HTTP/1.1 " + std::to_string(status) + " Said\r\nContent-Type: application/json\r\n" + more_headers +
         "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

}  // namespace wenqu
