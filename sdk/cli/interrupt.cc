#include "sdk/cli/interrupt.h"

#include <atomic>
#include <csignal>

namespace wenqu::cli {
namespace {

std::atomic<CancelSource*> current{nullptr};

// Only stores to a lock-free atomic, which a signal handler may do.
void on_signal(int) {
  if (CancelSource* source = current.load()) source->cancel();
}

void handle(void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESETHAND;   // a second Ctrl-C ends the program the hard way
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
}

}  // namespace

Interrupt::Interrupt() {
  current.store(&source_);
  handle(on_signal);
}

Interrupt::~Interrupt() {
  handle(SIG_DFL);
  current.store(nullptr);
}

}  // namespace wenqu::cli
