#include "sdk/net/http_connection.h"

#include <fmt/format.h>

#include <array>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/websocket/rfc6455.hpp>
#include <optional>

#include "sdk/net/session.h"
#include "sdk/protocol/event_json.h"

namespace wenqu::net {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;

using Request = http::request<http::empty_body>;

std::string_view view(beast::string_view text) { return {text.data(), text.size()}; }

// What is said instead of opening a websocket.
struct Refusal {
  http::status status;
  StatusCode code;
  std::string message;
};

class HttpConnection : public Connection, public std::enable_shared_from_this<HttpConnection> {
 public:
  HttpConnection(asio::ip::tcp::socket socket, Context& context, bool overloaded)
      : Connection(context), stream_(std::move(socket)), buffer_(2 * context.options.max_header_bytes), overloaded_(overloaded) {
    parser_.header_limit(static_cast<uint32_t>(context.options.max_header_bytes));
  }

  void start() {
    stream_.expires_after(context_.options.handshake_timeout);
    http::async_read_header(stream_, buffer_, parser_,
                            [self = shared_from_this()](beast::error_code error, size_t) { self->on_request(error); });
  }

  void leave() override { drop(); }
  void drop() override { stream_.close(); }

 private:
  void on_request(beast::error_code error) {
    if (error == http::error::header_limit || error == http::error::buffer_overflow)
      return refuse({http::status::request_header_fields_too_large, StatusCode::limit_exceeded,
                     fmt::format("the header is larger than {} bytes", context_.options.max_header_bytes)});
    if (error == http::error::end_of_stream || error == http::error::partial_message) return;
    if (error.category() == http::make_error_code(http::error::bad_method).category())
      return refuse({http::status::bad_request, StatusCode::invalid_argument, "not a well-formed HTTP request"});
    if (error) return;   // gone, or too slow

    const Request& request = parser_.get();
    if (const std::optional<Refusal> refusal = check(request)) return refuse(*refusal);
    if (is_health_check(request))
      return send(http::status::ok, names_this_server(request) ? R"({"status":"ok","version":")" WENQU_VERSION "\"}" : R"({"status":"ok"})");
    stream_.expires_never();   // from here the websocket has its own timers
    start_session(stream_.release_socket(), parser_.release(), context_);
  }

  static std::string_view path(const Request& request) {
    const std::string_view target = view(request.target());
    return target.substr(0, target.find('?'));
  }

  static bool is_health_check(const Request& request) { return path(request) == "/healthz"; }

  // By a name that is allowed, or by the address it was reached at.
  bool names_this_server(const Request& request) const {
    beast::error_code error;
    asio::ip::address own = stream_.socket().local_endpoint(error).address();
    if (own.is_v6() && own.to_v6().is_v4_mapped()) own = asio::ip::make_address_v4(asio::ip::v4_mapped, own.to_v6());
    return host_allowed(view(request[http::field::host]), context_.policy, own.is_v6() ? "[" + own.to_string() + "]" : own.to_string());
  }

  std::optional<Refusal> check(const Request& request) const {
    const bool is_get = request.method() == http::verb::get;
    // Before the load and the Host: who watches over the server asks by any name, and most of all while it is full.
    if (is_health_check(request)) {
      if (is_get || request.method() == http::verb::head) return std::nullopt;
      return Refusal{http::status::method_not_allowed, StatusCode::unsupported, "use GET"};
    }
    if (overloaded_)
      return Refusal{http::status::service_unavailable, StatusCode::busy, "too many connections: try again later"};
    for (const http::field once : {http::field::host, http::field::origin, http::field::authorization,
                                   http::field::sec_websocket_key, http::field::sec_websocket_version})
      if (request.count(once) > 1)
        return Refusal{http::status::bad_request, StatusCode::invalid_argument, "a header that may come once comes twice"};
    if (!names_this_server(request))
      return Refusal{http::status::forbidden, StatusCode::invalid_argument,
                     "the Host header does not name this server: connect to localhost, or let the server allow the name"};
    if (path(request) != "/v1/responses" && path(request) != "/ws")
      return Refusal{http::status::not_found, StatusCode::not_found, "there is a websocket at /v1/responses, and /healthz"};
    if (!is_get) return Refusal{http::status::method_not_allowed, StatusCode::unsupported, "open a websocket with GET"};
    if (!beast::websocket::is_upgrade(request) || request[http::field::sec_websocket_version] != "13")
      return Refusal{http::status::upgrade_required, StatusCode::unsupported, "this is a websocket: upgrade, with version 13"};
    if (request.count(http::field::origin) && !origin_allowed(view(request[http::field::origin]), context_.policy))
      return Refusal{http::status::forbidden, StatusCode::invalid_argument,
                     "web pages of this origin may not connect: let the server allow the origin"};
    if (!token_allowed(view(request[http::field::authorization]), view(request[http::field::sec_websocket_protocol]),
                       context_.policy))
      return Refusal{http::status::unauthorized, StatusCode::invalid_argument,
                     "the token is missing or wrong: send \"Authorization: Bearer TOKEN\""};
    // A client must wait for the answer to its upgrade before it sends frames.
    if (buffer_.size() > 0)
      return Refusal{http::status::bad_request, StatusCode::invalid_argument, "bytes follow the upgrade request"};
    return std::nullopt;
  }

  void refuse(const Refusal& refusal) {
    const auto retry_after = refusal.code == StatusCode::busy ? context_.options.retry_after : std::chrono::milliseconds{};
    send(refusal.status, protocol::error_to_json(Status(refusal.code, refusal.message), retry_after.count()));
  }

  void send(http::status status, std::string body) {
    response_.version(11);
    response_.result(status);
    response_.set(http::field::content_type, "application/json");
    response_.set(http::field::cache_control, "no-store");
    response_.set("X-Content-Type-Options", "nosniff");
    if (status == http::status::unauthorized) response_.set(http::field::www_authenticate, "Bearer");
    if (status == http::status::method_not_allowed) response_.set(http::field::allow, "GET");
    if (status == http::status::service_unavailable) {
      const auto retry_after = std::chrono::ceil<std::chrono::seconds>(context_.options.retry_after);
      response_.set(http::field::retry_after, std::to_string(retry_after.count()));
    }
    if (status == http::status::upgrade_required) {
      response_.set(http::field::upgrade, "websocket");
      response_.set(http::field::sec_websocket_version, "13");
    }
    response_.keep_alive(false);
    response_.content_length(body.size());
    if (parser_.get().method() != http::verb::head) response_.body() = std::move(body);
    if (status == http::status::upgrade_required) response_.set(http::field::connection, "close, upgrade");
    http::async_write(stream_, response_, [self = shared_from_this()](beast::error_code error, size_t) {
      if (error) return;
      self->stream_.socket().shutdown(asio::ip::tcp::socket::shutdown_send, error);
      self->discard();
    });
  }

  // Closing with unread bytes would reset the connection and could take the response with it, so what
  // the client still sends is read and forgotten until it closes or the deadline of start() comes.
  void discard() {
    stream_.async_read_some(asio::buffer(scrap_), [self = shared_from_this()](beast::error_code error, size_t) {
      if (!error) self->discard();
    });
  }

  beast::tcp_stream stream_;
  beast::flat_buffer buffer_;
  http::request_parser<http::empty_body> parser_;
  http::response<http::string_body> response_;
  std::array<char, 1024> scrap_;
  const bool overloaded_;
};

}  // namespace

void serve_connection(asio::ip::tcp::socket socket, Context& context, bool overloaded) {
  std::make_shared<HttpConnection>(std::move(socket), context, overloaded)->start();
}

}  // namespace wenqu::net
