#include "sdk/net/session.h"

#include <boost/asio/post.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/websocket.hpp>

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

class Session : public Connection, public std::enable_shared_from_this<Session> {
 public:
  Session(beast::tcp_stream stream, http::request<http::empty_body> upgrade, Context& context)
      : Connection(context),
        socket_(std::move(stream)),
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
      asio::post(executor, [weak] {
        if (const auto self = weak.lock()) self->pump();
      });
    };
    const ServerOptions& options = context_.options;
    outbox_ = std::make_shared<Outbox>(options.max_queue_bytes, wake);
    answers_ = std::make_shared<Answers>(context_.assistant, context_.pool, outbox_,
                                         AnswerLimits{options.max_answers_per_connection, options.send_timeout}, wake);

    socket_.next_layer().expires_never();   // from here the websocket has its own timers
    // Half of the idle time brings a ping, all of it the end.
    socket_.set_option(websocket::stream_base::timeout{options.handshake_timeout, 2 * options.ping_interval, true});
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
      if (error) return self->end();
      if (self->closing_) return;
      if (!self->socket_.got_text()) return self->close(websocket::close_code::unknown_data, "send text frames");
      self->handle({static_cast<const char*>(self->buffer_.data().data()), self->buffer_.size()});
      self->buffer_.consume(self->buffer_.size());
      if (!self->closing_) self->read();
    });
  }

  void handle(std::string_view json) {
    std::string stream_id;
    Result<protocol::ClientMessage> message = protocol::parse_client_message(json, &stream_id);
    Status status = message.status();
    if (status) {
      status = message->kind == protocol::ClientMessage::Kind::cancel
                   ? answers_->cancel(message->response_id)
                   : answers_->create(std::move(message->request), stream_id);
    }
    // The network thread waits for nobody: a client that makes errors and does not read them is dropped. One that is only behind
    // with its answers may make some.
    constexpr size_t kBeyond = size_t{16} << 10;
    if (!status) outbox_->push(protocol::with_stream_id(protocol::error_to_json(status), stream_id), {}, kBeyond);
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
    message_ = std::move(message);
    socket_.text(true);
    socket_.async_write(asio::buffer(message_), [self = shared_from_this()](beast::error_code error, size_t) {
      self->writing_ = false;
      if (error) return self->end();
      self->outbox_->release();
      self->pump();
    });
  }

  void close(websocket::close_code code, const char* reason) {
    closing_ = true;
    end();
    socket_.async_close({code, reason}, [self = shared_from_this()](beast::error_code) {});
  }

  // Whoever is gone needs no answers.
  void end() {
    closing_ = true;
    answers_->cancel_all();
    outbox_->close();
  }

  websocket::stream<beast::tcp_stream> socket_;
  const http::request<http::empty_body> upgrade_;
  beast::flat_buffer buffer_;
  std::shared_ptr<Outbox> outbox_;
  std::shared_ptr<Answers> answers_;
  std::string message_;      // in flight
  bool writing_ = false;
  bool open_ = false;        // upgraded
  bool leaving_ = false;     // ends as soon as its answers have
  bool closing_ = false;     // nothing more is read or written
};

}  // namespace

void start_session(beast::tcp_stream stream, http::request<http::empty_body> upgrade, Context& context) {
  std::make_shared<Session>(std::move(stream), std::move(upgrade), context)->start();
}

}  // namespace wenqu::net
