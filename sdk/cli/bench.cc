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
  Result<std::shared_ptr<const engine::Model>> model = load_model(options.model);
  if (!model) return report(model.status());
  engine::BenchOptions bench;
  bench.prompt_tokens = options.prompt;
  bench.decode_tokens = options.decode;
  bench.depth = options.depth;
  bench.repetitions = options.repetitions;
  bench.timeline = timeline_options(options.model);
  Result<std::vector<engine::BenchRow>> rows = engine::run_bench(*model, bench, interrupt.token());
  if (!rows) return report(rows.status());
  const engine::ModelInfo& info = (*model)->info();
  if (!options.json) {
    fmt::print("{}  {}  {:.2f} GiB  {} threads  {}\n", info.name, info.types, static_cast<double>(info.file_bytes) / (1 << 30),
               info.threads, info.isa);
    for (const engine::BenchRow& row : *rows)
      fmt::print("{:>8}  {:8.2f} ± {:.2f} t/s{}\n", row.test, row.tokens_per_second, row.standard_deviation,
                 row.bytes_per_second > 0 ? fmt::format("  {:.2f} GB/s", row.bytes_per_second / 1e9) : "");
    return kExitOk;
  }
  rapidjson::StringBuffer buffer;
  rapidjson::PrettyWriter<rapidjson::StringBuffer> json(buffer);
  json.StartArray();
  for (const engine::BenchRow& row : *rows) {
    json.StartObject();
    json.Key("test"), json.String(row.test.c_str());
    json.Key("t_s"), json.Double(row.tokens_per_second);
    json.Key("t_s_stddev"), json.Double(row.standard_deviation);
    json.Key("repetitions"), json.Uint64(options.repetitions);
    json.Key("threads"), json.Int(info.threads);
    json.Key("kv"), json.String(std::string(engine::kv_type_name(options.model.kv)).c_str());
    json.Key("isa"), json.String(info.isa.c_str());
    json.Key("model"), json.String(info.name.c_str());
    json.Key("types"), json.String(info.types.c_str());
    json.Key("bytes"), json.Uint64(info.file_bytes);
    json.Key("bytes_per_token"), json.Uint64(info.active_bytes);
    if (row.bytes_per_second > 0) json.Key("gb_s"), json.Double(row.bytes_per_second / 1e9);
    json.EndObject();
  }
  json.EndArray();
  fmt::print("{}\n", buffer.GetString());
  return kExitOk;
}

}  // namespace wenqu::cli
