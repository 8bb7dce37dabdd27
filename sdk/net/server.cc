#include "sdk/net/server.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "base/thread.h"
#include "sdk/net/context.h"
#include "sdk/net/http_connection.h"

namespace wenqu::net {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

// Beyond max_connections so many are told that there are too many, or how the server is, if they ask; the rest are closed at once.
constexpr size_t kPoliteRefusals = 64;
constexpr auto kAcceptPause = std::chrono::milliseconds(100);
constexpr auto kAcceptLogPause = std::chrono::minutes(1);
constexpr auto kDrainCheck = std::chrono::milliseconds(10);

// A program the host starts must not inherit the users' connections.
void close_on_exec(int fd) { ::fcntl(fd, F_SETFD, FD_CLOEXEC); }

Result<asio::ip::address> parse_address(const std::string& text) {
  if (text == "localhost") return asio::ip::address(asio::ip::address_v4::loopback());
  error_code error;
  const asio::ip::address address = asio::ip::make_address(text, error);
  if (error)
    return Status(StatusCode::invalid_argument,
                  fmt::format("\"{}\" is not an IP address: use 127.0.0.1, ::1 or an address of this machine", text),
                  "address");
  return address;
}

Status listen_error(const error_code& error, const tcp::endpoint& endpoint) {
  const std::string where = fmt::format("{}:{}", endpoint.address().to_string(), endpoint.port());
  if (error == asio::error::address_in_use)
    return Status(StatusCode::busy,
                  fmt::format("port {} is in use by another program: stop that one or choose another port", endpoint.port()),
                  where);
  if (error == asio::error::access_denied)
    return Status(StatusCode::io_error,
                  fmt::format("this user may not listen on port {}: choose one above 1023", endpoint.port()), where);
  return Status(StatusCode::io_error, fmt::format("cannot listen: {}", error.message()), where);
}

}  // namespace

class Server::Impl {
 public:
  Impl(std::shared_ptr<const assistant::Assistant> assistant, Options options, AccessPolicy policy)
      : context_(std::move(assistant), std::move(options), std::move(policy)) {}

  Status listen(const tcp::endpoint& endpoint) {
    error_code error;
    if (acceptor_.open(endpoint.protocol(), error)) return listen_error(error, endpoint);
    close_on_exec(acceptor_.native_handle());
    if (acceptor_.set_option(tcp::acceptor::reuse_address(true), error) || acceptor_.bind(endpoint, error) ||
        acceptor_.listen(asio::socket_base::max_listen_connections, error))
      return listen_error(error, endpoint);
    port_ = acceptor_.local_endpoint(error).port();
    WENQU_RETURN_IF_ERROR(context_.pool.start());
    if (!context_.policy.loopback)
      context_.log("other machines may connect, and there is no TLS: tokens, questions and documents can be read on their way. "
                   "Put a reverse proxy with TLS in front of this server (docs/protocol.md)");
    accept();
    thread_ = start_thread([this] { run(); });
    return {};
  }

  uint16_t port() const { return port_; }

  void stop() {
    std::call_once(stopping_, [this] {
      if (thread_.joinable()) {
        asio::post(io_, [this] { drain(); });
        thread_.join();
      }
      context_.pool.stop();
      std::lock_guard lock(mutex_);
      stopped_ = true;
      stopped_changed_.notify_all();
    });
  }

  void wait() {
    std::unique_lock lock(mutex_);
    stopped_changed_.wait(lock, [&] { return stopped_; });
  }

 private:
  // Whatever a handler may throw, the other connections live on.
  void run() {
    for (;;) {
      try {
        io_.run();
        return;
      } catch (const std::exception& error) {
        context_.log(fmt::format("a connection failed: {}", error.what()));
      }
    }
  }

  void accept() {
    acceptor_.async_accept([this](error_code error, tcp::socket socket) {
      if (error == asio::error::operation_aborted || !acceptor_.is_open()) return;
      if (error) return pause(error);
      if (std::exchange(told_of_pause_, false)) context_.log("connections are accepted again");
      accept();
      admit(std::move(socket));
    });
  }

  void admit(tcp::socket socket) {
    const size_t count = context_.connections.size();
    if (count >= context_.options.max_connections + kPoliteRefusals) return;
    close_on_exec(socket.native_handle());
    error_code ignored;
    socket.set_option(tcp::no_delay(true), ignored);
    socket.set_option(asio::socket_base::send_buffer_size(static_cast<int>(context_.options.socket_send_bytes)), ignored);
    serve_connection(std::move(socket), context_, count >= context_.options.max_connections);
  }

  // No descriptors or memory left: some may come free in a while, and trying without a pause would
  // burn a core.
  void pause(const error_code& error) {
    if (const std::optional<size_t> kept_back = accept_failures_.may_go()) {
      context_.log(fmt::format("cannot accept connections for now: {} (failed {} times since this was last said)", error.message(), *kept_back + 1));
      told_of_pause_ = true;
    }
    timer_.expires_after(kAcceptPause);
    timer_.async_wait([this](error_code cancelled) {
      if (!cancelled) accept();
    });
  }

  void drain() {
    error_code ignored;
    acceptor_.close(ignored);
    timer_.cancel();
    for (Connection* connection : context_.connections) connection->leave();
    drain_end_ = std::chrono::steady_clock::now() + context_.options.drain_timeout;
    await_drain();
  }

  void await_drain() {
    if (context_.connections.empty()) return;   // nothing is left to do: run() returns
    if (std::chrono::steady_clock::now() >= drain_end_) {
      for (Connection* connection : context_.connections) connection->drop();
      return;
    }
    timer_.expires_after(kDrainCheck);
    timer_.async_wait([this](error_code) { await_drain(); });
  }

  // Destroyed last: connections still in the handlers of io_ take themselves out of its set.
  Context context_;
  asio::io_context io_{1};
  tcp::acceptor acceptor_{io_};
  asio::steady_timer timer_{io_};
  Seldom accept_failures_{kAcceptLogPause};
  bool told_of_pause_ = false;
  std::chrono::steady_clock::time_point drain_end_;
  std::thread thread_;
  uint16_t port_ = 0;
  std::once_flag stopping_;
  std::mutex mutex_;
  std::condition_variable stopped_changed_;
  bool stopped_ = false;
};

Server::Server(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Server::~Server() { impl_->stop(); }
uint16_t Server::port() const { return impl_->port(); }
void Server::stop() { impl_->stop(); }
void Server::wait() { impl_->wait(); }

Result<std::unique_ptr<Server>> Server::start(std::shared_ptr<const assistant::Assistant> assistant, Options options) {
  try {
    WENQU_ASSIGN_OR_RETURN(const asio::ip::address address, parse_address(options.address));
    if (!options.token.empty()) WENQU_RETURN_IF_ERROR(validate_token(options.token));
    if (!address.is_loopback() && options.token.empty())
      return Status(StatusCode::invalid_argument,
                    fmt::format("listening on {} lets other machines in, so clients need a token: set one, or listen "
                                "on 127.0.0.1",
                                options.address),
                    "token");
    const tcp::endpoint endpoint(address, options.port);
    AccessPolicy policy{address.is_loopback(), options.allowed_origins, options.allowed_hosts, options.token};
    auto impl = std::make_unique<Impl>(std::move(assistant), std::move(options), std::move(policy));
    WENQU_RETURN_IF_ERROR(impl->listen(endpoint));
    return std::unique_ptr<Server>(new Server(std::move(impl)));
  } catch (const std::bad_alloc&) {
    return Status(StatusCode::out_of_memory, "not enough memory to start the server");
  } catch (const std::exception& error) {
    return Status(StatusCode::io_error, fmt::format("cannot start the server: {}", error.what()));
  }
}

}  // namespace wenqu::net
