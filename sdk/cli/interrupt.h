// Ctrl-C (and SIGTERM) as cancellation, for as long as an Interrupt lives. One at a time.
#pragma once

#include "base/cancel.h"

namespace wenqu::cli {

class Interrupt {
 public:
  Interrupt();
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  CancelToken token() const { return source_.token(); }
  bool happened() const { return source_.token().cancelled(); }

 private:
  CancelSource source_;
};

}  // namespace wenqu::cli
