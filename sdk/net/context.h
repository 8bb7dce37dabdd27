// What the connections of one server share.
//
// Thread safety: `assistant`, `options` and `policy` do not change; `pool` may be used from any
// thread; `connections` and `log` belong to the network thread.
#pragma once

#include <fmt/format.h>

#include <memory>
#include <unordered_set>

#include "sdk/assistant/assistant.h"
#include "sdk/net/handshake.h"
#include "sdk/net/options.h"
#include "sdk/net/seldom.h"
#include "sdk/net/worker_pool.h"

namespace wenqu::net {

class Connection;

struct Context {
  Context(std::shared_ptr<const assistant::Assistant> answerer, ServerOptions server_options, AccessPolicy access)
      : assistant(std::move(answerer)),
        options(std::move(server_options)),
        policy(std::move(access)),
        pool(options.max_running, options.max_waiting, options.max_stalled) {}

  void log(std::string_view line) const {
    if (options.log) options.log(line);
  }
  // A line that may come with every answer.
  void log_failure(const std::string& line) {
    if (const std::optional<size_t> kept_back = failures_.may_go())
      log(*kept_back ? fmt::format("{}, and {} more since the last such line", line, *kept_back) : line);
  }

  const std::shared_ptr<const assistant::Assistant> assistant;
  const ServerOptions options;
  const AccessPolicy policy;
  WorkerPool pool;
  std::unordered_set<Connection*> connections;

 private:
  Seldom failures_{std::chrono::seconds(10)};
};

// One client from accept to close; it is in the context's set for as long as it lives.
class Connection {
 public:
  explicit Connection(Context& context) : context_(context) { context_.connections.insert(this); }
  virtual ~Connection() { context_.connections.erase(this); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // Ends what runs, says goodbye, closes. Returns at once.
  virtual void leave() = 0;
  // Closes without a word. Returns at once.
  virtual void drop() = 0;

 protected:
  Context& context_;
};

}  // namespace wenqu::net
