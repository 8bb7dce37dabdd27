#include "retrieval/index_backup.h"

#include <fmt/format.h>

#include "sdk/cli/commands.h"
#include "sdk/cli/interrupt.h"

namespace wenqu::cli {

int run_backup(const BackupCommandOptions& options) {
  Interrupt interrupt;
  const auto report = retrieval::backup_index(options.index, options.out, {options.link}, interrupt.token());
  if (!report) return cli::report(report.status());
  if (options.json)
    fmt::print("{{\"commit\": {}, \"documents\": {}, \"files\": {}, \"linked\": {}, \"bytes\": {}}}\n", report->commit,
               report->documents, report->files, report->linked, report->bytes);
  else
    fmt::print("commit {} with {} documents is kept in {}: {} files, {} of them linked, {:.1f} MiB\n", report->commit,
               report->documents, options.out, report->files, report->linked,
               static_cast<double>(report->bytes) / (1 << 20));
  return kExitOk;
}

}  // namespace wenqu::cli
