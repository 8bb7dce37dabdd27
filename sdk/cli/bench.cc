#include <fmt/format.h>
#include <rapidjson/stringbuffer.h>
#include <rapidjson/prettywriter.h>

#include "engine/bench.h"
#include "sdk/cli/commands.h"
#include "sdk/cli/interrupt.h"
#include "sdk/cli/load.h"

namespace wenqu::cli {

int run_bench(const BenchOptions& options) {
  Interrupt interrupt;
  Result<std::shared_ptr<const engine::Model>> model = load_model(options.model, interrupt.token());
  if (!model) return report(model.status());
  engine::BenchOptions bench;
  bench.prompt_tokens = options.prompt;
  bench.decode_tokens = options.decode;
  bench.sessions = options.sessions;
  bench.depth = options.depth;
  bench.repetitions = options.repetitions;
  bench.timeline = timeline_options(options.model);
  const Result<engine::BenchReport> measured = engine::run_bench(*model, bench, interrupt.token());
  if (!measured) return report(measured.status());
  const engine::ModelInfo& info = (*model)->info();
  if (!options.json) {
    std::string where = info.device == "cpu" ? fmt::format("{} threads  {}", info.threads, info.isa) : info.device;
    if (!info.warpgroups.empty()) where += ", warpgroups " + info.warpgroups;
    if (info.repacked_bytes > 0) where += "  weights repacked";
    if (info.cpu_layers > 0) where += fmt::format(", {} on the CPU", info.cpu_layers == 1 ? "1 layer" : fmt::format("{} layers", info.cpu_layers));
    if (info.cpu_experts > 0) where += fmt::format(", experts of {} on the CPU", info.cpu_experts == 1 ? "1 layer" : fmt::format("{} layers", info.cpu_experts));
    fmt::print("{}  {}  {:.2f} GiB  {}\n", info.name, info.types, static_cast<double>(info.file_bytes) / (1 << 30), where);
    const std::string of_bandwidth = measured->bandwidth > 0 ? fmt::format("of {:.1f}", measured->bandwidth / 1e9) : "";
    fmt::print("{:>14}  {:>17}  {:>7}  {:>8}  {:>7}\n", "", "t/s", "GB/s", of_bandwidth, "GOPS");
    for (const engine::BenchRow& row : measured->rows) {
      fmt::print("{:>14}  {:8.2f} ± {:6.2f}  {:7.2f}  {:>8}  {:7.1f}\n", row.test, row.tokens_per_second, row.standard_deviation,
                 row.bytes_per_second / 1e9,
                 measured->bandwidth > 0 ? fmt::format("{:.0f}%", 100 * row.bytes_per_second / measured->bandwidth) : "",
                 row.operations_per_second / 1e9);
      if (row.on_demand)
        fmt::print("{:>14}  experts: {:.1f}% in memory, {:.1f} MB a token read, {:.0f}% of the time waited for\n", "", 100 * row.hit_rate,
                   row.read_per_token / 1e6, 100 * row.waited);
    }
    return kExitOk;
  }
  rapidjson::StringBuffer buffer;
  rapidjson::PrettyWriter<rapidjson::StringBuffer> json(buffer);
  json.StartArray();
  for (const engine::BenchRow& row : measured->rows) {
    json.StartObject();
    json.Key("test"), json.String(row.test.c_str());
    json.Key("n_prompt"), json.Uint64(row.prompt_tokens);
    json.Key("n_gen"), json.Uint64(row.decode_tokens);
    json.Key("sessions"), json.Uint64(row.sessions);
    json.Key("depth"), json.Uint64(row.depth);
    json.Key("t_s"), json.Double(row.tokens_per_second);
    json.Key("t_s_stddev"), json.Double(row.standard_deviation);
    json.Key("samples_t_s"), json.StartArray();
    for (double sample : row.samples) json.Double(sample);
    json.EndArray();
    json.Key("repetitions"), json.Uint64(options.repetitions);
    json.Key("threads"), json.Int(info.threads);
    json.Key("kv"), json.String(std::string(engine::kv_type_name(options.model.kv)).c_str());
    json.Key("device"), json.String(info.device.c_str());
    if (!info.warpgroups.empty()) json.Key("warpgroups"), json.String(info.warpgroups.c_str());
    json.Key("cpu_layers"), json.Uint(info.cpu_layers);
    json.Key("cpu_experts"), json.Uint(info.cpu_experts);
    json.Key("repacked_bytes"), json.Uint64(info.repacked_bytes);
    json.Key("isa"), json.String(info.isa.c_str());
    json.Key("model"), json.String(info.name.c_str());
    json.Key("types"), json.String(info.types.c_str());
    json.Key("bytes"), json.Uint64(info.file_bytes);
    json.Key("bytes_per_token"), json.Uint64(info.active_bytes);
    json.Key("gb_s"), json.Double(row.bytes_per_second / 1e9);
    json.Key("gops"), json.Double(row.operations_per_second / 1e9);
    if (row.on_demand) {
      json.Key("expert_hit_rate"), json.Double(row.hit_rate);
      json.Key("expert_bytes_read_per_token"), json.Double(row.read_per_token);
      json.Key("waited"), json.Double(row.waited);
    }
    if (measured->bandwidth > 0) json.Key("bandwidth_gb_s"), json.Double(measured->bandwidth / 1e9);
    json.EndObject();
  }
  json.EndArray();
  fmt::print("{}\n", buffer.GetString());
  return kExitOk;
}

}  // namespace wenqu::cli
