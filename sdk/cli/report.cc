#include <cstdio>

#include "sdk/cli/commands.h"
#include "sdk/cli/terminal.h"

namespace wenqu::cli {

int report(const Status& status) {
  if (status.is_ok()) return kExitOk;
  std::fprintf(stderr, "wenqu: %s\n", visible(status.to_string()).c_str());
  switch (status.code()) {
    case StatusCode::invalid_argument:
    case StatusCode::limit_exceeded:
      return kExitUsage;
    case StatusCode::busy:
      return kExitBusy;
    case StatusCode::cancelled:
      return kExitStopped;
    default:
      return kExitFailed;
  }
}

}  // namespace wenqu::cli
