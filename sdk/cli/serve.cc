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

// For as long as it lives, one of the signals ends the process at once.
std::jthread end_at(sigset_t signals) {
  return std::jthread([signals](const std::stop_token& over) {
    constexpr timespec kTurn{0, 50'000'000};
    while (!over.stop_requested())
      if (::sigtimedwait(&signals, nullptr, &kTurn) > 0) std::_Exit(kExitStopped);
  });
}

}  // namespace

int run_serve(const ServeOptions& options) {
  net::ServerOptions server;
  if (const Status parsed = parse_listen(options.listen, server.address, server.port); !parsed) return report(parsed);
  server.allowed_origins = options.origins;
  server.allowed_hosts = options.hosts;
  server.max_running = options.max_running;
  server.max_waiting = options.max_waiting;
  if (!options.token_file.empty()) {
    Result<std::string> token = read_token(options.token_file);
    if (!token) return report(token.status());
    server.token = *token;
  }
  std::signal(SIGPIPE, SIG_IGN);   // whoever reads the log may go away, and the server stays
  // Blocked before any thread starts, so that every thread inherits it and sigwait below is the one
  // that gets these signals.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  const sigset_t asked_twice = signals;
  // The terminal was closed, which nohup has the program go on after. More than one may come of it, so it is not among those above.
  struct sigaction hangup {};
  if (::sigaction(SIGHUP, nullptr, &hangup) == 0 && hangup.sa_handler != SIG_IGN) sigaddset(&signals, SIGHUP);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::jthread impatience = end_at(signals);   // loading may take long, and keeps nothing that could be lost

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
  impatience = end_at(asked_twice);   // what runs may not hear at once that it is to end
  log->info("stopping (once more to end at once)");
  (*started)->stop();
  return kExitOk;
}

}  // namespace wenqu::cli
