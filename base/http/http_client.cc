#include "base/http/http_client.h"

#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http/basic_parser.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <functional>
#include <mutex>
#include <optional>
#include <random>
#include <thread>
#include <vector>

#include "base/thread.h"

namespace wenqu {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::ip::tcp;
using boost::system::error_code;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kLook{20};    // between looks at the cancel token
constexpr std::chrono::seconds kIdleLife{45};     // proxies drop idle connections after a minute
constexpr std::chrono::seconds kLongestWish{30};  // of a server that says when to come again
constexpr size_t kHeaderBytes = 64 << 10;
constexpr size_t kPiece = 64 << 10;

// Takes an answer apart as it comes in. The body grows by what has arrived, whatever length was announced.
class AnswerParser final : public http::basic_parser<false> {
 public:
  explicit AnswerParser(size_t max_body) : max_body_(max_body) {
    header_limit(kHeaderBytes);
    body_limit(max_body);
    eager(true);
  }
  HttpResponse response;
  std::string retry_after;

 private:
  using View = boost::string_view;
  void on_request_impl(http::verb, View, View, int, error_code&) override {}
  void on_response_impl(int code, View, int, error_code&) override { response.status = code; }
  void on_field_impl(http::field name, View, View value, error_code&) override {
    if (name == http::field::retry_after) retry_after.assign(value.data(), value.size());
  }
  void on_header_impl(error_code&) override {}
  void on_body_init_impl(boost::optional<std::uint64_t> const&, error_code&) override {}
  std::size_t on_body_impl(View body, error_code& error) override {
    if (body.size() > max_body_ - response.body.size()) {
      error = http::make_error_code(http::error::body_limit);
      return 0;
    }
    response.body.append(body.data(), body.size());
    return body.size();
  }
  void on_chunk_header_impl(std::uint64_t, View, error_code&) override {}
  std::size_t on_chunk_body_impl(std::uint64_t, View body, error_code& error) override {
    return on_body_impl(body, error);
  }
  void on_finish_impl(error_code&) override {}

  const size_t max_body_;
};

// What became of an attempt.
struct Attempt {
  Status status;
  HttpResponse response;
  std::string retry_after;
  bool reusable = false;  // the connection may carry another request
  bool answered = false;  // something of a response came in
  bool final = false;     // another attempt would end the same way
};

Status timed_out(const Url& url) {
  return Status(StatusCode::timeout, "no answer in time: is the server overloaded, or the address wrong?",
                url.to_string());
}

// One connection, used by one thread at a time.
class Connection {
 public:
  Connection(const HttpOptions& options, asio::ssl::context& tls)
      : options_(options), resolver_(context_), socket_(context_) {
    if (options.url.tls) tls_.emplace(socket_, tls);
  }

  Clock::time_point last_used = Clock::now();

  Attempt exchange(const std::string& head, const HttpRequest& request, Clock::time_point deadline,
                   const CancelToken& cancel) {
    Attempt attempt;
    attempt.status =
        open_ ? Status() : connect(std::min(deadline, Clock::now() + options_.connect_timeout), cancel, attempt.final);
    if (!attempt.status) return attempt;
    error_code error;
    const std::array<asio::const_buffer, 2> message = {asio::buffer(head), asio::buffer(request.body)};
    attempt.status = wait(deadline, cancel, error, [&](auto done) {
      on_stream(
          [&](auto& stream) { asio::async_write(stream, message, [done](error_code code, size_t) { done(code); }); });
    });
    if (attempt.status && error) attempt.status = broken(error, "sending the request");
    if (attempt.status) attempt.status = read(request.method == "HEAD", deadline, cancel, attempt);
    last_used = Clock::now();
    return attempt;
  }

 private:
  // Runs one operation to its end; begins it with start(done). Errors: timeout, cancelled, deadline_exceeded.
  template <typename Start>
  Status wait(Clock::time_point deadline, const CancelToken& cancel, error_code& result, Start&& start) {
    bool ended = false;
    Status status;
    start([&](error_code code) {
      result = code;
      ended = true;
    });
    context_.restart();
    while (!ended) {
      context_.run_for(std::min<Clock::duration>(
          kLook, std::max<Clock::duration>(deadline - Clock::now(), Clock::duration::zero())));
      if (ended) break;
      status = cancel.status();
      if (status && Clock::now() >= deadline) status = timed_out(options_.url);
      if (status) continue;
      error_code ignored;
      resolver_.cancel();
      socket_.close(ignored);
      while (!ended && context_.run_one() > 0) {
      }
      break;
    }
    if (!status) open_ = false;
    return status;
  }

  template <typename Do>
  void on_stream(Do&& act) {
    if (tls_)
      act(*tls_);
    else
      act(socket_);
  }

  Status broken(const error_code& error, const char* during) {
    open_ = false;
    return Status(StatusCode::io_error, std::string("the connection broke while ") + during + ": " + error.message(),
                  options_.url.to_string());
  }

  Status connect(Clock::time_point deadline, const CancelToken& cancel, bool& final) {
    const Url& url = options_.url;
    error_code error;
    tcp::resolver::results_type found;
    WENQU_RETURN_IF_ERROR(wait(deadline, cancel, error, [&](auto done) {
      const SignalsBlocked blocked;   // the resolver starts a thread
      resolver_.async_resolve(url.host, std::to_string(url.port), tcp::resolver::numeric_service,
                              [&found, done](error_code code, tcp::resolver::results_type results) {
                                found = std::move(results);
                                done(code);
                              });
    }));
    if (error) return Status(StatusCode::io_error, "the host is not known: " + error.message(), url.to_string());
    WENQU_RETURN_IF_ERROR(wait(deadline, cancel, error, [&](auto done) {
      asio::async_connect(socket_, found, [done](error_code code, const tcp::endpoint&) { done(code); });
    }));
    if (error)
      return Status(StatusCode::io_error,
                    "cannot connect: " + error.message() + "; is the server running, and are host and port right?",
                    url.to_string());
    socket_.set_option(tcp::no_delay(true), error);
    if (tls_) WENQU_RETURN_IF_ERROR(shake_hands(deadline, cancel, final));
    open_ = true;
    return {};
  }

  Status shake_hands(Clock::time_point deadline, const CancelToken& cancel, bool& final) {
    const Url& url = options_.url;
    error_code error;
    asio::ip::make_address(url.host, error);
    // A name is told to the server, which may have a certificate for each; an address is not.
    if (error && SSL_set_tlsext_host_name(tls_->native_handle(), url.host.c_str()) != 1)
      return Status(StatusCode::invalid_argument, "the host's name cannot be used with TLS", url.to_string());
    tls_->set_verify_callback(asio::ssl::host_name_verification(url.host), error);
    if (error) return Status(StatusCode::internal, "TLS: " + error.message(), url.to_string());
    WENQU_RETURN_IF_ERROR(wait(deadline, cancel, error, [&](auto done) {
      tls_->async_handshake(asio::ssl::stream_base::client, [done](error_code code) { done(code); });
    }));
    if (!error) return {};
    const long verified = SSL_get_verify_result(tls_->native_handle());
    if (verified != X509_V_OK) {
      final = true;
      return Status(
          StatusCode::io_error,
          std::string("the server's certificate is not trusted: ") + X509_verify_cert_error_string(verified) +
              "; name the file of its authority (--ca, WENQU_REMOTE_CA), and use the host that the certificate names",
          url.to_string());
    }
    return Status(StatusCode::io_error,
                  "the TLS handshake failed: " + error.message() + "; does the server speak https?", url.to_string());
  }

  Status read(bool head, Clock::time_point deadline, const CancelToken& cancel, Attempt& attempt) {
    AnswerParser parser(options_.max_response_bytes);
    if (head) parser.skip(true);
    std::string unread;
    std::vector<char> piece(kPiece);
    while (!parser.is_done()) {
      size_t count = 0;
      error_code error;
      WENQU_RETURN_IF_ERROR(wait(deadline, cancel, error, [&](auto done) {
        on_stream([&](auto& stream) {
          stream.async_read_some(asio::buffer(piece), [&count, done](error_code code, size_t bytes) {
            count = bytes;
            done(code);
          });
        });
      }));
      attempt.answered = attempt.answered || count > 0;
      if (error) {
        open_ = false;
        error_code ended;
        if (parser.got_some()) parser.put_eof(ended);
        if (ended || !parser.is_done()) return broken(error, "waiting for the answer");
        break;  // the end of the connection is the end of the body
      }
      unread.append(piece.data(), count);
      WENQU_RETURN_IF_ERROR(parse(parser, unread, attempt));
    }
    attempt.reusable = open_ && parser.keep_alive() && unread.empty();
    if (!attempt.reusable) open_ = false;
    attempt.response = std::move(parser.response);
    attempt.retry_after = std::move(parser.retry_after);
    return {};
  }

  Status parse(AnswerParser& parser, std::string& unread, Attempt& attempt) {
    error_code error;
    while (!unread.empty() && !parser.is_done()) {
      const size_t used = parser.put(asio::buffer(unread), error);
      unread.erase(0, used);
      if (error == http::error::need_more) break;
      if (!error) continue;
      open_ = false;
      attempt.final = true;
      if (error == http::error::body_limit)
        return Status(StatusCode::limit_exceeded,
                      "the answer is larger than " + std::to_string(options_.max_response_bytes) + " bytes",
                      options_.url.to_string());
      return Status(StatusCode::corrupt, "the answer is not HTTP: " + error.message(), options_.url.to_string());
    }
    return {};
  }

  const HttpOptions& options_;
  asio::io_context context_{1};
  tcp::resolver resolver_;
  tcp::socket socket_;
  std::optional<asio::ssl::stream<tcp::socket&>> tls_;
  bool open_ = false;
};

bool is_passing(int status) { return status == 429 || status == 502 || status == 503 || status == 504; }

// "7": seconds. Dates, which servers of this kind do not send, are not looked at.
std::chrono::milliseconds wish_of(const std::string& retry_after) {
  unsigned seconds = 0;
  const auto [end, error] = std::from_chars(retry_after.data(), retry_after.data() + retry_after.size(), seconds);
  if (error != std::errc() || end != retry_after.data() + retry_after.size()) return std::chrono::milliseconds(0);
  return std::min<std::chrono::milliseconds>(std::chrono::seconds(std::min(seconds, 3600u)), kLongestWish);
}

}  // namespace

Status pause_for(std::chrono::milliseconds time, const CancelToken& cancel) {
  for (const auto end = Clock::now() + time; Clock::now() < end;) {
    WENQU_RETURN_IF_ERROR(cancel.status());
    std::this_thread::sleep_for(std::min<Clock::duration>(kLook, end - Clock::now()));
  }
  return cancel.status();
}

std::chrono::milliseconds pause_before(int number, std::chrono::milliseconds first, std::chrono::milliseconds longest) {
  thread_local std::minstd_rand random{std::random_device()()};
  auto whole = first;
  for (int i = 2; i < number && whole < longest; ++i) whole *= 2;
  whole = std::min(whole, longest);
  return std::chrono::milliseconds(
      std::uniform_int_distribution<int64_t>(whole.count() / 2, std::max<int64_t>(whole.count(), 0))(random));
}

class HttpClient::Impl {
 public:
  explicit Impl(HttpOptions options) : options_(std::move(options)), tls_(asio::ssl::context::tls_client) {}

  Status set_up() {
    for (const char c : options_.authorization)
      if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) >= 0x7F)
        return Status(StatusCode::invalid_argument,
                      "the credentials hold characters that cannot be sent: only ASCII can", options_.url.to_string());
    if (!options_.url.tls) return {};
    error_code error;
    tls_.set_options(asio::ssl::context::default_workarounds | asio::ssl::context::no_sslv2 |
                         asio::ssl::context::no_sslv3 | asio::ssl::context::no_tlsv1 | asio::ssl::context::no_tlsv1_1,
                     error);
    if (!error) tls_.set_verify_mode(asio::ssl::verify_peer, error);
    if (error) return Status(StatusCode::internal, "TLS: " + error.message());
    if (options_.ca_file.empty())
      tls_.set_default_verify_paths(error);
    else
      tls_.load_verify_file(options_.ca_file, error);
    if (error)
      return Status(StatusCode::not_found, "holds no certificates in PEM form that can be read: " + error.message(),
                    options_.ca_file.empty() ? "the system's authorities" : options_.ca_file);
    return {};
  }

  Result<HttpResponse> send(const HttpRequest& request, const CancelToken& cancel) {
    const auto deadline = Clock::now() + (request.timeout.count() > 0 ? request.timeout : options_.timeout);
    const std::string head = head_of(request);
    for (int number = 1;; ++number) {
      WENQU_RETURN_IF_ERROR(cancel.status());
      Attempt attempt = try_once(head, request, deadline, cancel);
      const bool passing = attempt.status ? is_passing(attempt.response.status)
                                          : attempt.status.code() == StatusCode::io_error && !attempt.final;
      const auto pause = std::max(wish_of(attempt.retry_after),
                                  pause_before(number + 1, options_.first_pause, options_.longest_pause));
      if (!passing || !request.repeatable || number >= options_.attempts || Clock::now() + pause >= deadline) {
        if (!attempt.status) return attempt.status;
        return std::move(attempt.response);
      }
      WENQU_RETURN_IF_ERROR(pause_for(pause, cancel));
    }
  }

  const HttpOptions& options() const { return options_; }

 private:
  std::string head_of(const HttpRequest& request) const {
    std::string head = request.method + " " + options_.url.path + request.target +
                       " HTTP/1.1\r\nHost: " + options_.url.authority() +
                       "\r\nUser-Agent: wenqu\r\nAccept: application/json\r\n";
    if (!options_.authorization.empty()) head += "Authorization: " + options_.authorization + "\r\n";
    if (!request.content_type.empty()) head += "Content-Type: " + request.content_type + "\r\n";
    if (!request.body.empty() || request.method == "POST" || request.method == "PUT")
      head += "Content-Length: " + std::to_string(request.body.size()) + "\r\n";
    return head + "\r\n";
  }

  // A connection that was kept may have been closed by the server meanwhile, which shows only when it is used: that is
  // no attempt.
  Attempt try_once(const std::string& head, const HttpRequest& request, Clock::time_point deadline,
                   const CancelToken& cancel) {
    for (;;) {
      bool kept = false;
      std::unique_ptr<Connection> connection = take(kept);
      Attempt attempt = connection->exchange(head, request, deadline, cancel);
      if (kept && attempt.status.code() == StatusCode::io_error && !attempt.answered && request.repeatable) continue;
      if (attempt.reusable) keep(std::move(connection));
      return attempt;
    }
  }

  std::unique_ptr<Connection> take(bool& kept) {
    std::vector<std::unique_ptr<Connection>> old;
    const std::lock_guard lock(mutex_);
    while (!idle_.empty()) {
      std::unique_ptr<Connection> connection = std::move(idle_.back());
      idle_.pop_back();
      if (Clock::now() - connection->last_used < kIdleLife) {
        kept = true;
        return connection;
      }
      old.push_back(std::move(connection));
    }
    return std::make_unique<Connection>(options_, tls_);
  }

  void keep(std::unique_ptr<Connection> connection) {
    const std::lock_guard lock(mutex_);
    if (idle_.size() < options_.idle_connections) idle_.push_back(std::move(connection));
  }

  const HttpOptions options_;
  asio::ssl::context tls_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Connection>> idle_;
};

HttpClient::HttpClient(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpClient::~HttpClient() = default;

Result<std::unique_ptr<HttpClient>> HttpClient::create(HttpOptions options) {
  try {
    auto impl = std::make_unique<Impl>(std::move(options));
    WENQU_RETURN_IF_ERROR(impl->set_up());
    return std::unique_ptr<HttpClient>(new HttpClient(std::move(impl)));
  } catch (const std::bad_alloc&) {
    return Status(StatusCode::out_of_memory, "no memory for an HTTP client");
  } catch (const std::exception& error) {
    return Status(StatusCode::io_error, std::string("the system refuses an HTTP client: ") + error.what());
  }
}

Result<HttpResponse> HttpClient::send(const HttpRequest& request, const CancelToken& cancel) const {
  try {
    return impl_->send(request, cancel);
  } catch (const std::bad_alloc&) {
    return Status(StatusCode::out_of_memory, "no memory for the request or its answer", options().url.to_string());
  } catch (const std::exception& error) {
    return Status(StatusCode::io_error, std::string("the system refuses the connection: ") + error.what(),
                  options().url.to_string());
  }
}

const HttpOptions& HttpClient::options() const { return impl_->options(); }

}  // namespace wenqu
