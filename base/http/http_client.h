// Asks one HTTP server, over connections that are kept for the next request.
//
// A request that fails because the server is away, overloaded (429, 502, 503, 504) or drops the connection is sent
// again after a pause that doubles and is drawn at random, until its time is up. Redirects are not followed: what lets
// us in goes to the server it is for and to nobody else. Certificates are always verified.
//
// Thread safety: send() from any number of threads. Nothing is started in the background; a send() computes on the
// caller's thread and looks at its cancel token every few hundredths of a second, but while the system looks up a host's
// name, which nothing can interrupt.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>

#include "base/cancel.h"
#include "base/http/url.h"
#include "base/status.h"

namespace wenqu {

struct HttpOptions {
  Url url;                    // of the server; its path goes before every target
  std::string authorization;  // value of that header; never part of a message. Empty: none
  std::string ca_file;        // PEM file of the authorities that are trusted; empty: the system's
  std::chrono::milliseconds connect_timeout{10'000};
  std::chrono::milliseconds timeout{30'000};   // of a request, with all its attempts
  std::chrono::milliseconds first_pause{100};  // between attempts; then twice as long each time
  std::chrono::milliseconds longest_pause{5'000};
  int attempts = 5;
  size_t max_response_bytes = size_t{64} << 20;  // of a body
  size_t idle_connections = 8;                   // kept
};

struct HttpRequest {
  std::string method = "GET";
  std::string target;        // "/..." with its query, encoded
  std::string content_type;  // with a body
  std::string body;
  bool repeatable = true;                // whether sending it twice does no harm
  std::chrono::milliseconds timeout{0};  // 0: that of the options
};

struct HttpResponse {
  int status = 0;
  std::string body;
};

class HttpClient {
 public:
  // Connects to nobody yet. Errors: not_found or corrupt (the file of authorities), invalid_argument (an authorization
  // with characters no header can carry).
  static Result<std::unique_ptr<HttpClient>> create(HttpOptions options);
  ~HttpClient();

  // What the server says, whatever its status. Errors: io_error (no connection, or it broke), timeout,
  // limit_exceeded (the body is too large), corrupt (not HTTP), cancelled or deadline_exceeded.
  Result<HttpResponse> send(const HttpRequest& request, const CancelToken& cancel) const;

  const HttpOptions& options() const;

 private:
  class Impl;
  explicit HttpClient(std::unique_ptr<Impl> impl);
  const std::unique_ptr<Impl> impl_;
};

// Waits; for less when `cancel` says so, whose status it gives.
Status pause_for(std::chrono::milliseconds time, const CancelToken& cancel);
// The pause before attempt `number` (2, 3 ...): half to all of `first` doubled with each, `longest` at most.
std::chrono::milliseconds pause_before(int number, std::chrono::milliseconds first, std::chrono::milliseconds longest);

}  // namespace wenqu
