#include "engine/model.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <new>
#include <optional>

#include "base/page_advice.h"
#include "base/system_memory.h"
#include "engine/cuda/module.h"
#include "engine/device/choose.h"
#include "engine/device/placement.h"
#include "engine/memory_plan.h"
#include "engine/model/forward.h"
#include "engine/model/mixture.h"
#include "engine/model/repack.h"
#include "engine/runtime.h"

namespace wenqu::engine {
namespace {

// Whether a tensor belongs to a layer of multi-token prediction.
bool behind_trunk(std::string_view name, const Config& config) {
  constexpr std::string_view kBlock = "blk.";
  if (config.next_token_layers == 0 || !name.starts_with(kBlock)) return false;
  uint32_t index = 0;
  std::from_chars(name.data() + kBlock.size(), name.data() + name.size(), index);
  return index >= config.layers;
}

bool is_expert(std::string_view name) { return name.find("_exps.") != name.npos; }

ModelInfo describe(const Runtime& runtime, KvType kv_type) {
  const gguf::File& file = *runtime.file;
  const Config& config = runtime.config;
  ModelInfo info;
  info.path = file.path();
  info.name = file.get_string("general.name").value_or("");
  info.architecture = config.name;
  info.chat_template = runtime.chat ? std::string(chat_template_name(*runtime.chat)) : "";
  info.chat_problem = runtime.chat_status.message();
  info.thinks = runtime.chat && chat_template_thinks(*runtime.chat);
  info.pre_tokenizer = runtime.tokenizer->pre_tokenizer();
  info.file_bytes = file.file_bytes();
  info.kv_bytes_per_token = kv_shape(config, kv_type).bytes_per_token();
  info.layers = config.layers;
  info.next_token_layers = config.next_token_layers;
  info.heads = config.heads;
  info.kv_heads = config.has_mla() ? 1 : config.kv_heads;
  info.latent = config.mla.kv_lora;
  info.rotated = config.mla.rope;
  const ops::RouterConfig& router = config.moe.router;
  info.experts = router.experts, info.experts_used = router.used, info.experts_shared = config.moe.shared;
  info.expert_groups = router.groups, info.expert_groups_used = router.groups_used;
  info.sigmoid_router = router.gating == ops::RouterConfig::Gating::sigmoid;
  info.embedding = config.embedding;
  info.vocabulary = static_cast<uint32_t>(config.vocabulary);
  info.tokens = static_cast<uint32_t>(runtime.tokenizer->size());
  info.context = config.context;
  info.threads = runtime.pool.threads();
  info.isa = cpu::kernels(runtime.isa).name;
  info.repacked_bytes = runtime.weights.repacked.size();
  std::map<std::string_view, uint64_t> by_type;
  uint64_t total = 0;
  const bool tied = !file.tensor("output.weight");
  for (const gguf::Tensor& tensor : file.tensors()) {
    by_type[gguf::type_traits(tensor.type).name] += tensor.bytes;
    total += tensor.bytes;
    info.parameters += tensor.elements();
    if (behind_trunk(tensor.name, config)) continue;
    // One token reads one row of the embedding and the chosen experts only.
    const bool embedding = tensor.name == "token_embd.weight";
    uint64_t parts = 1, used = 1;
    if (embedding && !tied) parts = tensor.ne[1];
    // A file may hold experts that its hyper-parameters know nothing of.
    if (is_expert(tensor.name) && config.moe.router.experts > 0)
      parts = config.moe.router.experts, used = config.moe.router.used;
    info.active_parameters += tensor.elements() / parts * used;
    info.active_bytes += tensor.bytes / parts * used;
    if (is_expert(tensor.name)) info.active_expert_bytes += tensor.bytes / parts * used;
  }
  std::vector<std::pair<uint64_t, std::string_view>> types;
  for (const auto& [name, bytes] : by_type) types.emplace_back(bytes, name);
  std::sort(types.rbegin(), types.rend());
  for (const auto& [bytes, name] : types)
    info.types += fmt::format("{}{} {:.0f}%", info.types.empty() ? "" : ", ", name,
                              100.0 * static_cast<double>(bytes) / static_cast<double>(std::max<uint64_t>(total, 1)));
  return info;
}

// A plan, or why there can be none.
using Weighed = std::function<Result<MemoryPlan>(const MemoryNeeds&)>;

// Whether the weights go into memory of their own, as the options and the plan have it.
bool wants_repack(const LoadOptions& options, const MemoryPlan& plan, Runtime& runtime) {
  constexpr uint64_t kShare = 2;   // of what there is, one part
  if (runtime.gpu || plan.on_demand || options.repack == Repack::never) return false;
  if (options.repack == Repack::always) return true;
  const uint64_t there = options.memory_budget ? options.memory_budget : available_memory();
  return repacked_bytes(cpu::kernels(runtime.isa), runtime.config, runtime.weights) <= there / kShare;
}

// Divides the memory between sessions and experts.
void use_plan(const MemoryPlan& plan, bool repacks, Runtime& runtime) {
  runtime.memory = plan;
  runtime.prefixes.set_budget(plan.prefix_cache);
  runtime.queue.set_largest_batch(plan.batch_tokens);
  if (!runtime.gpu) runtime.queue.set_layers(runtime.weights.layers.size());
  if (plan.budget > 0)
    runtime.account = std::make_shared<MemoryAccount>(plan.shared, plan.experts, runtime.gpu ? runtime.gpu->segment_memory() : nullptr);
  if (plan.on_demand) {
    std::vector<ExpertLayer> layers;
    for (const Layer* layer : runtime.weights.mixtures()) {
      const auto stack = [](const Matrix& matrix) { return ExpertStack{matrix.data, matrix.stride_bytes}; };
      layers.push_back({stack(layer->expert_gate), stack(layer->expert_up), stack(layer->expert_down)});
    }
    const auto left = [&runtime] { return runtime.expert_limit(); };
    runtime.experts = std::make_unique<ExpertResidency>(std::move(layers), runtime.config.moe.router.experts, left);
    runtime.weights.residency = runtime.experts.get();
    // What every token needs is wanted at once.
    for (const gguf::Tensor& tensor : runtime.file->tensors())
      if (!runtime.gpu && !is_expert(tensor.name)) ask_for({tensor.data, tensor.bytes});
  } else if (!runtime.gpu && !repacks) {
    for (const gguf::Tensor& tensor : runtime.file->tensors()) prefer_large_pages({tensor.data, tensor.bytes});
  }
  ExpertResidency* const experts = runtime.experts.get();
  // What is moved away is not lost: it goes before what would have to be read again.
  runtime.account->set_hooks([&runtime] { return (runtime.gpu && runtime.gpu->segment_memory()->give_way()) || runtime.prefixes.give_way(); },
                             [experts] { if (experts) experts->trim(); });
}

// Computes routed experts with the model's threads and the file's weights. The runtime outlives it.
device::CpuExperts experts_on_cpu(const Runtime& runtime) {
  return [&runtime](size_t l, std::span<const float> normed, std::span<const ops::ExpertChoice> choices, std::span<float> delta,
                    const CancelToken& cancel) {
    Status status;
    runtime.pool.lead([&] {
      const Layer& layer = runtime.weights.layers[l];
      const size_t d = runtime.config.embedding;
      const ops::Compute compute{cpu::kernels(runtime.isa), runtime.pool, cancel};
      RoutedExperts routed(compute, runtime.config, layer, runtime.weights.residency, choices);
      const ops::Inputs x(compute, normed.data(), normed.size() / d, d, d, {&layer.expert_gate, &layer.expert_up});
      status = routed.add(x, delta.data());
    });
    return status;
  };
}

// Reads the first layers with the model's threads. The runtime outlives it.
device::CpuLayers layers_on_cpu(const Runtime& runtime) {
  return [&runtime](std::span<const Sequence> batch, size_t layers, std::vector<float>& states, const CancelToken& cancel) {
    Status status;
    runtime.pool.lead([&] {
      status = forward_first({cpu::kernels(runtime.isa), runtime.pool, cancel}, runtime.config, runtime.weights, batch, layers, states);
    });
    return status;
  };
}

// Where the layers go, and how the memory is divided.
struct DevicePlan {
  device::PlacementPlan placement;
  MemoryPlan memory;
};

uint64_t whole_mib(uint64_t bytes) { return (bytes + (1 << 20) - 1) >> 20; }

// What stays with the CPU must fit the host's memory; routed experts may be read on demand.
Status plan_host(const MemoryNeeds& host, device::PlacementPlan& placement, MemoryPlan& plan) {
  device::PlacedShare& cpu = placement.cpu;
  if (cpu.weights == 0) return {};
  cpu.scratch = host.scratch(placement.batch_tokens);
  cpu.room = available_memory();
  if (cpu.room == 0 || cpu.needed() <= cpu.room) return {};
  const uint64_t rest = cpu.needed() - placement.cpu_expert_bytes;
  if (host.can_be_read_again && placement.cpu_expert_bytes > 0 && rest + host.largest_layer <= cpu.room) {
    plan.on_demand = true;
    plan.expert_limit = cpu.room - rest;
    return {};
  }
  return Status(StatusCode::out_of_memory,
                fmt::format("what stays with the CPU needs {} MiB (weights {}, KV cache {}, scratch {}), but the system has {} MiB: use more layers on GPUs, "
                            "a smaller or more strongly quantized model",
                            whole_mib(cpu.needed()), whole_mib(cpu.weights), whole_mib(cpu.kv_cache), whole_mib(cpu.scratch), whole_mib(cpu.room)));
}

Result<DevicePlan> plan_devices(std::span<const std::shared_ptr<cuda::Device>> devices, const Runtime& runtime, const LoadOptions& options) {
  const MemoryNeeds host = memory_needs(*runtime.file, runtime.config, runtime.weights, options, runtime.pool.threads());
  const size_t layers = runtime.config.layers;
  std::vector<device::PlacedShare> rooms;
  for (const std::shared_ptr<cuda::Device>& one : devices) {
    // Beside what is planned there come tables, recorded launches, and the steps in which a driver gives memory.
    constexpr uint64_t kMostKept = uint64_t{1} << 30;
    const uint64_t all = one->free_bytes(), free = all - std::min(all / 16, kMostKept);
    device::PlacedShare& room = rooms.emplace_back();
    room.name = one->info().name;
    room.room = options.memory_budget ? std::min<uint64_t>(options.memory_budget, free) : free;
  }
  DevicePlan plan;
  const device::PlacementWish wish{options.gpu_layers, options.cpu_experts, host.kv_cache / layers};
  WENQU_ASSIGN_OR_RETURN(plan.placement, device::plan_placement(runtime.config, runtime.weights, rooms, wish));
  MemoryPlan& memory = plan.memory;
  WENQU_RETURN_IF_ERROR(plan_host(host, plan.placement, memory));
  // Sessions may hold what each place has left for its layers.
  memory.shared = UINT64_MAX;
  const auto bound = [&](const device::PlacedShare& place, uint64_t left) {
    // Tables come on top, and whatever the driver keeps.
    left -= std::min(left - std::min(left, place.kv_cache), left / 16);
    memory.shared = std::min(memory.shared, left / place.layers.count() * layers);
  };
  for (const device::PlacedShare& place : plan.placement.devices) {
    memory.budget += place.room, memory.weights += place.weights, memory.scratch += place.scratch;
    bound(place, place.room - place.weights - place.scratch - place.expert_cache);
  }
  const device::PlacedShare& cpu = plan.placement.cpu;
  if (cpu.layers.count() > 0 && cpu.room > 0) bound(cpu, cpu.room - std::min(cpu.room, memory.on_demand ? cpu.room - cpu.kv_cache : cpu.weights + cpu.scratch));
  memory.batch_tokens = plan.placement.batch_tokens;
  memory.prefix_cache = std::min<uint64_t>(options.prefix_cache_bytes, memory.shared / 4);
  return plan;
}

// Brings the model to GPUs.
Status place_on_devices(std::span<const std::shared_ptr<cuda::Device>> devices, const DevicePlan& plan, Runtime& runtime, const CancelToken& cancel) {
  device::Split split;
  for (size_t i = 0; i < plan.placement.devices.size(); ++i) split.shares.push_back({devices[plan.placement.chosen[i]], plan.placement.devices[i].layers, plan.placement.devices[i].expert_cache});
  split.batch_tokens = plan.placement.batch_tokens, split.on_cpu = plan.placement.on_cpu;
  split.cpu_experts = experts_on_cpu(runtime), split.cpu_layers = layers_on_cpu(runtime);
  WENQU_ASSIGN_OR_RETURN(runtime.gpu, device::SplitModel::create(runtime.config, runtime.weights, std::move(split), cancel));
  return {};
}

void describe_places(const device::PlacementPlan& plan, std::span<const std::shared_ptr<cuda::Device>> devices, ModelInfo& info) {
  const auto add = [&](const device::PlacedShare& place) {
    info.places.push_back({place.name, static_cast<uint32_t>(place.layers.first), static_cast<uint32_t>(place.layers.count()), static_cast<uint32_t>(place.cpu_experts),
                           place.weights, place.kv_cache, place.scratch, place.expert_cache, place.room});
  };
  info.device.clear();
  for (const device::PlacedShare& place : plan.devices) {
    add(place);
    info.device += (info.device.empty() ? "" : ", ") + place.name;
  }
  for (const size_t chosen : plan.chosen) {
    const cuda::DeviceInfo& one = devices[chosen]->info();
    if (!one.no_warpgroups.empty()) info.warpgroups = "not used: " + one.no_warpgroups;
    else if (one.warpgroups && info.warpgroups.empty()) info.warpgroups = "used";
  }
  if (plan.cpu.weights > 0) add(plan.cpu);
  info.cpu_layers = static_cast<uint32_t>(plan.cpu.layers.count());
  info.cpu_experts = static_cast<uint32_t>(plan.cpu.cpu_experts);
}

// Whether a file is to be run, or only what that would take is to be told.
enum class Purpose { run, inspect };

using OpenFile = std::function<Result<std::shared_ptr<const gguf::File>>()>;

// Opens the file and takes it apart. `weighed` is asked when all that needs memory is known.
Status load_into(Runtime& runtime, const OpenFile& open, const LoadOptions& options, const CancelToken& cancel,
                 const Weighed& weighed, Purpose purpose) {
  const auto progress = [&](double fraction) -> Status {
    if (options.progress && !options.progress(fraction)) return Status(StatusCode::cancelled, "loading was stopped");
    return cancel.status();
  };
  WENQU_RETURN_IF_ERROR(progress(0));
  WENQU_ASSIGN_OR_RETURN(runtime.file, open());
  const gguf::File& file = *runtime.file;
  WENQU_ASSIGN_OR_RETURN(runtime.config, read_config(file));
  if (options.expert_groups > 0)
    WENQU_RETURN_IF_ERROR(set_expert_groups(options.expert_groups, options.expert_groups_used, runtime.config));
  WENQU_RETURN_IF_ERROR(progress(0.1));
  WENQU_ASSIGN_OR_RETURN(runtime.weights, load_weights(file, runtime.config));
  device::Chosen chosen{options.open_devices, ""};
  if (chosen.devices.empty() && options.gpu_layers != 0) {
    Result<device::Chosen> named = device::choose_device(options.device);
    if (named) chosen = std::move(*named);
    else if (purpose == Purpose::inspect) chosen.why = named.status().to_string();
    else return named.status();
  }
  MemoryPlan plan;
  std::optional<device::PlacementPlan> placed;
  if (!chosen.devices.empty() && options.gpu_layers != 0) {
    Result<DevicePlan> on_devices = plan_devices(chosen.devices, runtime, options);
    Status status = on_devices.status();
    if (status && purpose == Purpose::run) status = place_on_devices(chosen.devices, *on_devices, runtime, cancel);
    // Only whoever asks for a GPU is told that the model does not run there.
    const bool optional = (options.open_devices.empty() && options.device == "auto" && status.code() != StatusCode::cancelled) || purpose == Purpose::inspect;
    if (!status && !optional) return status;
    if (status) plan = on_devices->memory, placed = std::move(on_devices->placement);
    else chosen.why = status.to_string();
  }
  if (!runtime.gpu) {
    WENQU_ASSIGN_OR_RETURN(plan, weighed(memory_needs(file, runtime.config, runtime.weights, options, runtime.pool.threads())));
  }
  const bool repacks = purpose == Purpose::run && wants_repack(options, plan, runtime);
  use_plan(plan, repacks, runtime);
  WENQU_RETURN_IF_ERROR(progress(0.3));
  if (repacks) {
    Status status;
    runtime.pool.lead([&] {
      status = repack({cpu::kernels(runtime.isa), runtime.pool, cancel}, runtime.config, !file.path().empty(), [&](double part) { return progress(0.3 + 0.5 * part); },
                      runtime.weights);
    });
    // Who asked for it only where memory is ample can do without.
    const bool optional = options.repack == Repack::when_ample && status.code() == StatusCode::out_of_memory;
    if (!status && !optional) return status;
  }
  WENQU_ASSIGN_OR_RETURN(runtime.tokenizer, Tokenizer::create(file));
  if (runtime.tokenizer->size() > runtime.config.vocabulary)
    return Status(StatusCode::corrupt,
                  fmt::format("has {} tokens, but the embedding has {} rows", runtime.tokenizer->size(), runtime.config.vocabulary),
                  "metadata key 'tokenizer.ggml.tokens'");
  WENQU_RETURN_IF_ERROR(progress(0.9));
  if (!options.chat_template.empty()) {
    runtime.chat = parse_chat_template(options.chat_template);
    if (!runtime.chat)
      return Status(StatusCode::invalid_argument, fmt::format("there is no chat template '{}'", options.chat_template), "chat_template");
    WENQU_RETURN_IF_ERROR(check_chat_marks(*runtime.chat, *runtime.tokenizer));
  } else {
    // A model that cannot be talked to may still be searched with.
    const Result<ChatTemplate> chat = detect_chat_template(file, *runtime.tokenizer);
    runtime.chat_status = chat ? check_chat_marks(*chat, *runtime.tokenizer) : chat.status();
    if (runtime.chat_status) runtime.chat = *chat;
  }
  runtime.info = describe(runtime, options.kv_type);
  runtime.info.device = "cpu";
  if (placed) describe_places(*placed, chosen.devices, runtime.info);
  runtime.info.device_problem = chosen.why;
  return progress(1);
}

Result<std::unique_ptr<Runtime>> load_runtime(const OpenFile& open, const std::string& path, const LoadOptions& options,
                                              const CancelToken& cancel, const Weighed& weighed, Purpose purpose = Purpose::run) {
  WENQU_RETURN_IF_ERROR(cpu::check_threads(options.threads));
  WENQU_RETURN_IF_ERROR(cpu::check_nice(options.nice));
  try {
    auto runtime = std::make_unique<Runtime>(cpu::ThreadPoolOptions{options.threads, options.nice}, options.prefix_cache_bytes);
    if (const Status status = load_into(*runtime, open, options, cancel, weighed, purpose); !status)
      return path.empty() || status.where().find(path) != std::string::npos ? status : status.at(path);
    return runtime;
  } catch (const std::bad_alloc&) {
    return Status(StatusCode::out_of_memory, "not enough memory to load the model", path);
  }
}

}  // namespace

Result<std::shared_ptr<const Model>> Model::load(const std::string& path, const LoadOptions& options, const CancelToken& cancel) {
  WENQU_ASSIGN_OR_RETURN(std::unique_ptr<Runtime> runtime,
                         load_runtime([&] { return gguf::File::open(path); }, path, options, cancel,
                                      [&](const MemoryNeeds& needs) { return plan_memory(needs, options); }));
  return std::shared_ptr<const Model>(new Model(std::move(runtime)));
}

Result<std::shared_ptr<const Model>> Model::load(std::shared_ptr<const gguf::File> file, const LoadOptions& options,
                                                 const CancelToken& cancel) {
  const auto open = [&]() -> Result<std::shared_ptr<const gguf::File>> { return file; };
  WENQU_ASSIGN_OR_RETURN(std::unique_ptr<Runtime> runtime,
                         load_runtime(open, file->path(), options, cancel, [&](const MemoryNeeds& needs) { return plan_memory(needs, options); }));
  return std::shared_ptr<const Model>(new Model(std::move(runtime)));
}

Result<std::pair<ModelInfo, MemoryEstimate>> Model::inspect(const std::string& path, const LoadOptions& options) {
  MemoryEstimate memory;
  const auto weighed = [&](const MemoryNeeds& needs) -> Result<MemoryPlan> {
    memory = memory_estimate(needs, options.context_tokens);
    return MemoryPlan();
  };
  WENQU_ASSIGN_OR_RETURN(const std::unique_ptr<Runtime> runtime, load_runtime([&] { return gguf::File::open(path); }, path, options, {}, weighed, Purpose::inspect));
  return std::pair(runtime->info, memory);
}

Result<MemoryEstimate> Model::estimate(const std::string& path, uint64_t context_tokens, KvType kv_type) {
  WENQU_ASSIGN_OR_RETURN(const std::shared_ptr<const gguf::File> file, gguf::File::open(path));
  Result<Config> config = read_config(*file);
  if (!config) return config.status().at(path);
  const Result<Weights> weights = load_weights(*file, *config);
  if (!weights) return weights.status().at(path);
  const auto estimate_for = [&](uint64_t tokens) {
    LoadOptions options;
    options.context_tokens = tokens;
    options.kv_type = kv_type;
    return memory_estimate(memory_needs(*file, *config, *weights, options, cpu::available_cores()), tokens);
  };
  MemoryEstimate estimate = estimate_for(context_tokens);
  estimate.least = estimate_for(std::max(context_tokens, LoadOptions().context_tokens)).least;   // load() refuses less
  return estimate;
}

Model::Model(std::unique_ptr<Runtime> runtime) : runtime_(std::move(runtime)) {}
Model::~Model() = default;

const ModelInfo& Model::info() const { return runtime_->info; }
const Tokenizer& Model::tokenizer() const { return *runtime_->tokenizer; }

const Sha256::Digest& Model::fingerprint() const {
  std::call_once(runtime_->fingerprint_once, [&] {
    runtime_->fingerprint = engine::fingerprint(*runtime_->file, runtime_->config);
    if (runtime_->experts) runtime_->experts->forget_strays();   // it has looked at some
  });
  return runtime_->fingerprint;
}

MemoryUse Model::memory() const {
  const MemoryPlan& plan = runtime_->memory;
  MemoryUse use;
  use.budget = plan.budget;
  use.weights = plan.weights;
  use.scratch = plan.scratch;
  use.sessions = runtime_->account->used();
  if (plan.budget > 0) use.sessions_limit = runtime_->account->chargeable();
  use.prefix_cache = runtime_->prefixes.bytes();
  use.on_demand = plan.on_demand;
  if (!plan.on_demand) return use;
  use.experts_limit = runtime_->expert_limit();
  use.experts = runtime_->experts->use();
  return use;
}

Result<ChatTemplate> Model::chat_template() const {
  if (!runtime_->chat) return runtime_->chat_status;
  return *runtime_->chat;
}

bool can_use_gpu() {
  const Result<int> gpus = cuda::count_devices();
  return gpus && *gpus > 0;
}

}  // namespace wenqu::engine
