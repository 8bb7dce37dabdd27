#include "sdk/net/session.h"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/basic_stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/websocket.hpp>
#include <exception>
#include <limits>
#include <utility>

#include "sdk/net/answers.h"
#include "sdk/net/outbox.h"
#include "sdk/protocol/event_json.h"
#include "sdk/protocol/request_json.h"

namespace wenqu::net {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
namespace websocket = boost::beast::websocket;

// Feels the bytes that pass: a client that takes some, however slowly, is there. Beast has places for such a class where it
// limits rates, which this one does not.
class Pulse {
 public:
  void feel(std::shared_ptr<Outbox> outbox) { outbox_ = std::move(outbox); }
  // Between them, what is written is a message's, and not just a ping.
  void begin_message() { in_message_ = true; }
  void end_message() { in_message_ = false; }
  // Whether there was one since it was last asked.
  bool beat() { return std::exchange(felt_, false); }

 private:
  friend class beast::rate_policy_access;
  static constexpr size_t kAll = std::numeric_limits<size_t>::max();
  size_t available_read_bytes() const { return kAll; }
  size_t available_write_bytes() const { return kAll; }
  void transfer_read_bytes(size_t bytes) { felt_ = felt_ || bytes > 0; }
  void transfer_write_bytes(size_t bytes) {
    if (!in_message_ || bytes == 0) return;
    felt_ = true;
    outbox_->progress();
  }
  void on_timer() const {}

  std::shared_ptr<Outbox> outbox_;
  bool in_message_ = false;
  bool felt_ = false;
};

class Session : public Connection, public std::enable_shared_from_this<Session> {
 public:
  Session(asio::ip::tcp::socket socket, http::request<http::empty_body> upgrade, Context& context)
      : Connection(context),
        socket_(std::move(socket)),
        pulse_timer_(socket_.get_executor()),
        upgrade_(std::move(upgrade)),
        // One byte more than a message may have, for Beast to see that it has too many.
        buffer_(context.options.max_message_bytes + 1) {}

  // Also reached when a handler threw: nobody would stop the answers then.
  ~Session() override {
    if (answers_) end();
  }

  void start() {
    // Called by workers: the session may be gone by then, and is only touched by the network thread.
    const auto wake = [weak = weak_from_this(), executor = socket_.get_executor()] {
      try {
        asio::post(executor, [weak] {
          if (const auto self = weak.lock()) self->pump();
        });
      } catch (const std::exception&) {   // no memory: watch() looks too
      }
    };
    const auto log_failure = [&context = context_, executor = socket_.get_executor()](std::string line) {
      asio::post(executor, [&context, line = std::move(line)] { context.log_failure(line); });
    };
    const ServerOptions& options = context_.options;
    outbox_ = std::make_shared<Outbox>(options.max_queue_bytes, wake);
    answers_ = std::make_shared<Answers>(context_.assistant, context_.pool, outbox_,
                                         AnswerLimits{options.max_answers_per_connection, options.send_timeout,
                                                      options.crowded_send_timeout, options.retry_after},
                                         wake, log_failure);
    pulse().feel(outbox_);

    // Beast's own idle time asks for bytes from the client, and one that reads a long message slowly sends none: see watch().
    socket_.set_option(websocket::stream_base::timeout{options.handshake_timeout, websocket::stream_base::none(), false});
    // Never compressed: this Beast can be killed by one compressed frame (fixed in Boost 1.86).
    socket_.set_option(websocket::permessage_deflate{});
    socket_.read_message_max(options.max_message_bytes);
    socket_.auto_fragment(false);
    const beast::string_view offered = upgrade_[http::field::sec_websocket_protocol];
    if (offers_subprotocol({offered.data(), offered.size()}, kSubprotocol))
      socket_.set_option(websocket::stream_base::decorator([](websocket::response_type& response) {
        response.set(http::field::sec_websocket_protocol, beast::string_view(kSubprotocol.data(), kSubprotocol.size()));
      }));
    socket_.async_accept(upgrade_, [self = shared_from_this()](beast::error_code error) {
      if (error) return self->end();
      self->open_ = true;
      self->read();
      self->watch();
    });
  }

  void leave() override {
    if (!open_) return drop();
    leaving_ = true;
    answers_->cancel_all();
    pump();
  }

  void drop() override {
    beast::get_lowest_layer(socket_).close();
    end();
  }

 private:
  void read() {
    socket_.async_read(buffer_, [self = shared_from_this()](beast::error_code error, size_t) {
      if (error) return self->drop();   // what is being written may wait for a client that takes no more
      if (self->closing_) return;
      if (!self->socket_.got_text()) return self->close(websocket::close_code::unknown_data, "send text frames");
      self->handle({static_cast<const char*>(self->buffer_.data().data()), self->buffer_.size()});
      self->buffer_.consume(self->buffer_.size());
      if (!self->closing_) self->read();
    });
  }

  Pulse& pulse() { return socket_.next_layer().rate_policy(); }

  // A client is pinged when nothing has passed for a while, and after another one taken for dead.
  void watch() {
    pulse_timer_.expires_after(context_.options.ping_interval);
    pulse_timer_.async_wait([weak = weak_from_this()](beast::error_code error) {
      const auto self = weak.lock();
      if (error || !self || self->closing_) return;
      self->quiet_times_ = self->pulse().beat() ? 0 : self->quiet_times_ + 1;
      if (self->quiet_times_ == 2) return self->drop();
      if (self->quiet_times_ == 1) self->ping();
      self->pump();   // what a worker could not wake it for
      if (!self->closing_) self->watch();
    });
  }

  void ping() {
    if (pinging_) return;   // the last one still waits for a message to be taken
    pinging_ = true;
    socket_.async_ping({}, [self = shared_from_this()](beast::error_code) { self->pinging_ = false; });
  }

  void handle(std::string_view json) {
    std::string stream_id;
    Result<protocol::ClientMessage> message = protocol::parse_client_message(json, &stream_id);
    Status status = message.status();
    if (status) {
      if (message->kind == protocol::ClientMessage::Kind::create)
        status = answers_->create(std::move(message->request), stream_id);
      else
        status = message->response_id.empty() ? answers_->cancel_stream(stream_id) : answers_->cancel(message->response_id);
    }
    if (!status) answers_->tell(status, stream_id);
  }

  // Looks what there is to do next after something was queued, written or ended.
  void pump() {
    if (closing_) return;
    if (outbox_->closed()) {
      if (outbox_->overdue()) context_.log("a client was dropped: it did not read what it had asked for");
      return drop();
    }
    if (!writing_) {
      if (std::optional<std::string> message = outbox_->take()) write(std::move(*message));
    }
    if (leaving_ && answers_->idle() && outbox_->empty())
      close(websocket::close_code::going_away, "the server is stopping");
  }

  void write(std::string message) {
    writing_ = true;
    pulse().begin_message();
    message_ = std::move(message);
    socket_.text(true);
    socket_.async_write(asio::buffer(message_), [self = shared_from_this()](beast::error_code error, size_t) {
      self->writing_ = false;
      self->pulse().end_message();
      if (error) return self->drop();
      self->outbox_->release();
      self->pump();
    });
  }

  void close(websocket::close_code code, const char* reason) {
    closing_ = true;
    end();
    socket_.async_close({code, reason}, [self = shared_from_this()](beast::error_code) {});
    // Beast's own time for it begins when the message being written is out, and the client may take no more of it.
    pulse_timer_.expires_after(context_.options.handshake_timeout);
    pulse_timer_.async_wait([weak = weak_from_this()](beast::error_code error) {
      if (const auto self = weak.lock(); self && !error) self->drop();
    });
  }

  // Whoever is gone needs no answers.
  void end() {
    closing_ = true;
    answers_->abandon();
    outbox_->close();
  }

  websocket::stream<beast::basic_stream<asio::ip::tcp, asio::any_io_executor, Pulse>> socket_;
  asio::steady_timer pulse_timer_;
  const http::request<http::empty_body> upgrade_;
  beast::flat_buffer buffer_;
  std::shared_ptr<Outbox> outbox_;
  std::shared_ptr<Answers> answers_;
  std::string message_;      // in flight
  size_t quiet_times_ = 0;   // ping intervals in a row in which nothing passed
  bool writing_ = false;
  bool pinging_ = false;
  bool open_ = false;        // upgraded
  bool leaving_ = false;     // ends as soon as its answers have
  bool closing_ = false;     // nothing more is read or written
};

}  // namespace

void start_session(asio::ip::tcp::socket socket, http::request<http::empty_body> upgrade, Context& context) {
  std::make_shared<Session>(std::move(socket), std::move(upgrade), context)->start();
}

}  // namespace wenqu::net
