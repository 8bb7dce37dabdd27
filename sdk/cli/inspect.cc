#include <fmt/format.h>

#include <filesystem>

#include "engine/gguf/file.h"
#include "engine/model.h"
#include "sdk/cli/commands.h"
#include "sdk/cli/terminal.h"

namespace wenqu::cli {
namespace {

std::string size(uint64_t bytes) {
  const double value = static_cast<double>(bytes);
  if (bytes >= uint64_t{1} << 30) return fmt::format("{:.2f} GiB", value / (1 << 30));
  if (bytes >= uint64_t{1} << 20) return fmt::format("{:.1f} MiB", value / (1 << 20));
  return fmt::format("{:.1f} KiB", value / 1024);
}

std::string count(uint64_t number) {
  const double value = static_cast<double>(number);
  if (value >= 1e9) return fmt::format("{:.2f} billion", value / 1e9);
  if (value >= 1e6) return fmt::format("{:.1f} million", value / 1e6);
  return fmt::format("{}", number);
}

std::string plural(uint64_t number, std::string_view noun) { return fmt::format("{} {}{}", number, noun, number == 1 ? "" : "s"); }

void line(std::string_view name, std::string_view text) { fmt::print("  {:<15}{}\n", name, text); }

void print_model(const engine::ModelInfo& info, const engine::MemoryEstimate& memory, uint64_t context, engine::KvType kv) {
  line("architecture", fmt::format("{}: {}{}, {} wide", info.architecture, plural(info.layers, "layer"),
                                   info.next_token_layers ? fmt::format(" and {} of multi-token prediction", info.next_token_layers) : "",
                                   info.embedding));
  line("attention", info.latent ? fmt::format("latent (MLA): {} heads share {} + {} numbers a token and layer", info.heads, info.latent, info.rotated)
                                : fmt::format("grouped: {} heads share {} of keys and values", info.heads, info.kv_heads));
  if (info.experts)
    line("experts", fmt::format("{}, of which a token uses {}{}{}; {} router", info.experts, info.experts_used,
                                info.expert_groups > 1 ? fmt::format(" from the best {} of {} groups", info.expert_groups_used, info.expert_groups) : "",
                                info.experts_shared ? fmt::format(", and {} shared", info.experts_shared) : "",
                                info.sigmoid_router ? "sigmoid" : "softmax"));
  line("parameters", info.active_parameters < info.parameters
                         ? fmt::format("{}, {} active for a token", count(info.parameters), count(info.active_parameters))
                         : count(info.parameters));
  line("weights", fmt::format("{}; {} are read for each token", info.types, size(info.active_bytes)));
  line("context", fmt::format("trained for {} tokens", info.context));
  line("tokenizer", fmt::format("{}, {} tokens", info.pre_tokenizer, info.tokens));
  line("chat template", info.chat_template.empty() ? "none: " + info.chat_problem
                                                   : info.chat_template + (info.thinks ? ", thinks before it answers" : ""));
  const uint64_t tokens = std::min(context, info.context);
  line("memory", fmt::format("{} for {} of context:", size(memory.total()), plural(tokens, "token")));
  line("", fmt::format("weights   {:>10}  (mapped from the file)", size(memory.weights)));
  line("", fmt::format("KV cache  {:>10}  ({}, {} a token)", size(memory.kv_cache), engine::kv_type_name(kv), size(info.kv_bytes_per_token)));
  line("", fmt::format("scratch   {:>10}  (while a long prompt is read)", size(memory.scratch)));
  line("", fmt::format("prefixes  {:>10}  (at most: beginnings that sessions share; they give way)", size(memory.prefix_cache)));
  line("", fmt::format("least     {:>10}  ({})", size(memory.least),
                       info.experts ? "a budget that is enough, with experts read on demand" : "a budget that is enough"));
}

// What would go where, of a model that is to run on GPUs.
void print_places(const engine::ModelInfo& info) {
  if (!info.device_problem.empty()) line("on GPUs", "no: " + info.device_problem);
  for (const engine::PlaceOfLayers& place : info.places) {
    std::string what = place.layers == 0 ? "" : place.layers == 1 ? fmt::format("layer {}", place.first_layer + 1)
                                                                   : fmt::format("layers {} to {}", place.first_layer + 1, place.first_layer + place.layers);
    const bool is_cpu = &place == &info.places.back() && (info.cpu_layers > 0 || info.cpu_experts > 0);
    if (place.cpu_experts > 0)
      what += fmt::format("{}{} {}", what.empty() ? "" : ", ", is_cpu ? "routed experts of" : "without the routed experts of", plural(place.cpu_experts, "layer"));
    line(place.name, what);
    line("", fmt::format("{} of {}: weights {}, KV cache {}, scratch {}{}", size(place.weights + place.kv_cache + place.scratch + place.expert_cache),
                         place.room > 0 ? size(place.room) + " free" : "an unknown room", size(place.weights), size(place.kv_cache), size(place.scratch),
                         place.expert_cache > 0 ? fmt::format(", experts used most {}", size(place.expert_cache)) : ""));
  }
  if (!info.warpgroups.empty()) line("warpgroups", info.warpgroups);
}

}  // namespace

int run_inspect(const InspectOptions& options) {
  Result<std::shared_ptr<const engine::gguf::File>> file = engine::gguf::File::open(options.model);
  if (!file) return report(file.status());
  const std::string name((*file)->get_string("general.name").value_or(""));
  int code = kExitOk;
  fmt::print("{}\n", visible(name.empty() ? std::filesystem::path(options.model).filename().string() : name));
  line("file", fmt::format("{}: {}, {}", options.model, size((*file)->file_bytes()), plural((*file)->tensors().size(), "tensor")));
  if ((*file)->tensors().empty()) {
    line("", "a vocabulary only: it can tokenize, not answer");
  } else {
    engine::LoadOptions load;
    load.context_tokens = options.context;
    load.kv_type = options.kv;
    load.device = options.device;
    load.gpu_layers = options.gpu_layers, load.cpu_experts = options.cpu_experts;
    load.memory_budget = options.memory_mib << 20;
    auto inspected = engine::Model::inspect(options.model, load);
    // The budget is for commands that load it for a context of their own.
    if (const auto alone = engine::Model::estimate(options.model, options.context, options.kv); inspected && alone)
      inspected->second.least = alone->least;
    if (inspected) print_model(inspected->first, inspected->second, options.context, options.kv), print_places(inspected->first);
    else line("cannot be run", visible(inspected.status().to_string()));
    if (inspected.status().code() == StatusCode::corrupt) code = kExitFailed;
  }
  if (options.metadata || (*file)->tensors().empty())
    for (const auto& [key, value] : (*file)->describe()) fmt::print("  {} = {}\n", visible(key), visible(value));
  if (options.tensors)
    for (const engine::gguf::Tensor& tensor : (*file)->tensors())
      fmt::print("  {:<40} {:<7} [{}] {} bytes\n", visible(tensor.name), engine::gguf::type_traits(tensor.type).name,
                 fmt::join(tensor.ne.begin(), tensor.ne.begin() + tensor.n_dims, ", "), tensor.bytes);
  return code;
}

}  // namespace wenqu::cli
