// Threads of a library in somebody else's process: they leave its signals to the host. One that waits for them (sigwait,
// signalfd) has them blocked in its own threads; a thread of ours that took one would end the process.
//
// Thread safety: any thread.
#pragma once

#include <signal.h>

#include <thread>
#include <utility>

namespace wenqu {

// While it lives, signals sent to the process go to other threads, and threads and libraries started by this one inherit
// that. Those that a thread brings on itself (SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS) stay as they were.
class SignalsBlocked {
 public:
  SignalsBlocked();
  ~SignalsBlocked();
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_;
};

// A thread to which no signal is delivered; the caller's own signals are as before. Throws std::system_error as
// std::thread does.
template <typename Thread = std::thread, typename Body>
Thread start_thread(Body&& body) {
  const SignalsBlocked blocked;
  return Thread(std::forward<Body>(body));
}

}  // namespace wenqu
