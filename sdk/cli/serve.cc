#include <pthread.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <charconv>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <thread>

#include "sdk/cli/commands.h"
#include "sdk/cli/load.h"
#include "sdk/net/server.h"

namespace wenqu::cli {
namespace {

// "127.0.0.1:8377", "[::1]:8377", ":8377" or "8377".
Status parse_listen(const std::string& listen, std::string& address, uint16_t& port) {
  const size_t colon = listen.rfind(':');
  std::string host = colon == std::string::npos ? "" : listen.substr(0, colon);
  const std::string number = colon == std::string::npos ? listen : listen.substr(colon + 1);
  if (host.size() > 1 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), port);
  if (error != std::errc() || end != number.data() + number.size() || number.empty())
    return Status(StatusCode::invalid_argument, "'" + listen + "' is not ADDRESS:PORT, such as 127.0.0.1:8377", "--listen");
  if (!host.empty()) address = host;
  return {};
}

Result<std::string> read_token(const std::string& path) {
  std::ifstream file(path);
  std::string token;
  const bool read = file && std::getline(file, token);
  if (read && token.ends_with('\r')) token.pop_back();   // a file of Windows
  if (!read || token.empty()) return Status(StatusCode::not_found, "holds no token on its first line", path);
  return token;
}

}  // namespace

int run_serve(const ServeOptions& options) {
  net::ServerOptions server;
  if (const Status parsed = parse_listen(options.listen, server.address, server.port); !parsed) return report(parsed);
  server.allowed_origins = options.origins;
  server.allowed_hosts = options.hosts;
  if (!options.token_file.empty()) {
    Result<std::string> token = read_token(options.token_file);
    if (!token) return report(token.status());
    server.token = *token;
  }
  // Blocked before any thread starts, so that every thread inherits it and sigwait below is the one
  // that gets these signals.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  // Loading may take long, and keeps nothing that could be lost.
  std::jthread impatience([signals](const std::stop_token& loaded) {
    constexpr timespec kTurn{0, 50'000'000};
    while (!loaded.stop_requested())
      if (::sigtimedwait(&signals, nullptr, &kTurn) > 0) std::_Exit(kExitStopped);
  });

  const auto log = spdlog::stderr_color_mt("wenqu");
  Result<assistant::OpenedAssistant> opened =
      load_assistant(options.index, options.remote, options.model, options.search,
                     [log](const Status& status) { log->warn("the index's newest commit cannot be read, the one before is searched: {}", status.to_string()); });
  impatience = {};
  if (!opened) return report(opened.status());
  server.log = [log](std::string_view line) { log->info("{}", line); };
  Result<std::unique_ptr<net::Server>> started = net::Server::start(opened->assistant, server);
  if (!started) return report(started.status());
  const bool v6 = server.address.find(':') != std::string::npos;
  fmt::print("listening on ws://{}{}{}:{}/v1/responses\n", v6 ? "[" : "", server.address, v6 ? "]" : "", (*started)->port());
  std::fflush(stdout);
  int signal = 0;
  ::sigwait(&signals, &signal);
  log->info("stopping");
  (*started)->stop();
  return kExitOk;
}

}  // namespace wenqu::cli
