#include <fmt/format.h>

#include <filesystem>

#include "engine/gguf/file.h"
#include "engine/model.h"
#include "sdk/cli/commands.h"

namespace wenqu::cli {

int run_inspect(const InspectOptions& options) {
  Result<std::shared_ptr<const engine::gguf::File>> file = engine::gguf::File::open(options.model);
  if (!file) return report(file.status());
  fmt::print("{}: {:.1f} MiB, {} tensors\n", options.model, static_cast<double>((*file)->file_bytes()) / (1 << 20),
             (*file)->tensors().size());
  for (const auto& [key, value] : (*file)->describe()) fmt::print("  {} = {}\n", key, value);
  if (options.tensors)
    for (const engine::gguf::Tensor& tensor : (*file)->tensors())
      fmt::print("  {:<40} {:<7} [{}] {} bytes\n", tensor.name, engine::gguf::type_traits(tensor.type).name,
                 fmt::join(tensor.ne.begin(), tensor.ne.begin() + tensor.n_dims, ", "), tensor.bytes);
  if ((*file)->tensors().empty()) {
    fmt::print("a vocabulary only: it can tokenize, not answer\n");
    return kExitOk;
  }
  constexpr uint64_t kContext = 4096;
  const Result<engine::MemoryEstimate> estimate = engine::Model::estimate(options.model, kContext);
  if (!estimate) {
    fmt::print("cannot be run: {}\n", estimate.status().to_string());
    return kExitOk;
  }
  constexpr double kMiB = 1 << 20;
  fmt::print("memory for {} tokens: {:.1f} MiB = weights {:.1f} + KV cache {:.1f} + scratch {:.1f}\n", kContext,
             static_cast<double>(estimate->total()) / kMiB, static_cast<double>(estimate->weights) / kMiB,
             static_cast<double>(estimate->kv_cache) / kMiB, static_cast<double>(estimate->scratch) / kMiB);
  return kExitOk;
}

}  // namespace wenqu::cli
