#include "retrieval/collections.h"

#include <fmt/format.h>

#include <filesystem>

#include "sdk/cli/commands.h"

namespace wenqu::cli {

int run_collections(const CollectionsOptions& options) {
  const auto collections = retrieval::Collections::open(options.directory);
  if (!collections) return report(collections.status());
  if (options.action == "create") return report(collections->create(options.name));
  if (options.action == "drop") return report(collections->drop(options.name));
  if (!std::filesystem::exists(options.directory)) return report(Status(StatusCode::not_found, "there is no such folder", options.directory));
  const auto names = collections->names();
  if (!names) return report(names.status());
  for (const std::string& name : *names) fmt::print("{}\n", name);
  return kExitOk;
}

}  // namespace wenqu::cli
