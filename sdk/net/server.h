// Answers questions over websocket: GET /v1/responses (or /ws) with an upgrade; GET /healthz tells
// that the server is up. The protocol is in docs/protocol.md. One network thread moves bytes and
// never computes; answers are computed on `max_running` threads of their own.
//
// Thread safety: all members may be called from any thread, none from the log sink.
#pragma once

#include <memory>

#include "base/status.h"
#include "sdk/assistant/assistant.h"
#include "sdk/net/options.h"

namespace wenqu::net {

class Server {
 public:
  using Options = ServerOptions;

  // Listens when it returns. Errors: busy (the port is taken), io_error (the system refuses the
  // address or the port), invalid_argument (no such address; a token is missing or unfit).
  static Result<std::unique_ptr<Server>> start(std::shared_ptr<const assistant::Assistant> assistant, Options options);
  ~Server();   // stops

  uint16_t port() const;
  // Closes the listening socket, cancels what runs, tells clients goodbye (1001) and returns when all
  // of it is done. Idempotent.
  void stop();
  // Returns when stop() has done its work.
  void wait();

 private:
  class Impl;
  explicit Server(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace wenqu::net
