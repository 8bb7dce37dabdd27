#include "retrieval/index_migrate.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>

#include "sdk/cli/commands.h"
#include "sdk/cli/interrupt.h"
#include "sdk/cli/load.h"

namespace wenqu::cli {

int run_migrate(const MigrateOptions& options) {
  constexpr uint64_t kBetween = 100;   // documents between two lines of progress
  Interrupt interrupt;
  const bool shown = ::isatty(STDERR_FILENO) == 1;
  const auto progress = [shown](uint64_t done, uint64_t all) {
    if (shown && (done % kBetween == 0 || done == all)) fmt::print(stderr, "\r{} of {} documents ", done, all);
  };
  const auto vocabulary = load_vocabulary(options.vocabulary);
  if (!vocabulary) return cli::report(vocabulary.status());
  const auto report = retrieval::migrate_index(options.index, progress, interrupt.token(), *vocabulary);
  if (shown) fmt::print(stderr, "\r\033[K");
  if (!report) return cli::report(report.status());
  if (options.json)
    fmt::print("{{\"from\": {}, \"to\": {}, \"documents\": {}}}\n", report->from, report->to, report->documents);
  else if (report->from == report->to && report->documents > 0)
    fmt::print("{} documents were analysed again, with other words\n", report->documents);
  else if (report->from == report->to)
    fmt::print("the index has this version of the analysis, {}, already\n", report->to);
  else
    fmt::print("{} documents were analysed again: version {} has become {}\n", report->documents, report->from,
               report->to);
  return kExitOk;
}

}  // namespace wenqu::cli
