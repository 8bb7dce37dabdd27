#include "engine/convert/convert.h"

#include <fmt/format.h>

#include <charconv>
#include <filesystem>

#include "engine/convert/checkpoint.h"
#include "engine/convert/hf_config.h"
#include "engine/convert/hf_tokenizer.h"
#include "engine/convert/json.h"
#include "engine/convert/layout.h"
#include "engine/cpu/thread_pool.h"
#include "engine/quant/mix.h"
#include "engine/quant/stream.h"

namespace wenqu::engine::convert {
namespace {

constexpr uint32_t kQuantizationVersion = 2;

// "models/DeepSeek-V2-Lite/" is called "DeepSeek-V2-Lite".
std::string name_of(const std::string& folder) {
  std::error_code error;
  const std::filesystem::path path = std::filesystem::weakly_canonical(folder, error);
  const std::string name = path.filename().string();
  return error || name.empty() ? "model" : name;
}

// The folder's files are read while the other is written.
Status check_not_input(const ConvertOptions& options) {
  std::error_code error;
  for (std::filesystem::directory_iterator entry(options.folder, error), end; !error && entry != end; entry.increment(error)) {
    std::error_code none;
    if (std::filesystem::equivalent(entry->path(), options.output, none))
      return Status(StatusCode::invalid_argument, "is a file of the model that is read: name another one", options.output);
  }
  return {};
}

// Whether a tensor is a bias or a norm of the layers that are computed. Others that have no place may belong to another part of
// the folder's model, such as its eyes.
bool changes_results(std::string_view name, const HfConfig& config) {
  constexpr std::string_view kLayers = "model.layers.";
  if (!name.ends_with(".bias") && name.find("norm") == name.npos) return false;
  if (!name.starts_with(kLayers)) return name.starts_with("lm_head.") || name.starts_with("model.norm") || name.starts_with("model.embed_");
  uint32_t layer = 0;
  std::from_chars(name.data() + kLayers.size(), name.data() + name.size(), layer);
  return layer < config.layers + config.next_token_layers;
}

}  // namespace

Result<ConvertReport> convert(const ConvertOptions& options, const CancelToken& cancel) try {
  WENQU_RETURN_IF_ERROR(cpu::check_threads(options.threads));
  WENQU_ASSIGN_OR_RETURN(const quant::Mix mix, quant::find_mix(options.mix));
  WENQU_RETURN_IF_ERROR(check_not_input(options));
  const std::string config_path = options.folder + "/config.json";
  WENQU_ASSIGN_OR_RETURN(const auto json, read_json_object(config_path));
  const Object config_json(*json, config_path);
  WENQU_ASSIGN_OR_RETURN(HfConfig config, read_hf_config(config_json));
  WENQU_ASSIGN_OR_RETURN(const auto checkpoint, Checkpoint::open(options.folder));
  Result<Layout> layout = plan_layout(*checkpoint, config);
  if (!layout) return layout.status().at(options.folder);
  for (const std::string& name : layout->left_over)
    if (changes_results(name, config))
      return Status(StatusCode::unsupported, "is not computed: without it the model would be another one", fmt::format("tensor '{}'", name));

  gguf::Writer writer;
  write_metadata(config, writer);
  writer.set_string("general.name", name_of(options.folder));
  writer.set_uint("general.file_type", mix.file_type);
  writer.set_uint("general.quantization_version", kQuantizationVersion);
  WENQU_RETURN_IF_ERROR(write_tokenizer(options.folder, config_json, config.vocabulary, options.pre_tokenizer, writer));

  ConvertReport report{config.architecture, layout->tensors.size(), 0, 0, std::move(layout->left_over)};
  const quant::ModelShape shape{config.layers + config.next_token_layers, config.tied};
  std::vector<gguf::Type> types;
  for (const PlannedTensor& tensor : layout->tensors) {
    types.push_back(quant::choose_type(mix, shape, tensor.name, tensor.ne).value_or(gguf::Type::f32));
    WENQU_RETURN_IF_ERROR(writer.add_tensor(tensor.name, types.back(), tensor.ne));
    report.values += tensor.elements();
    report.bytes += gguf::type_row_bytes(types.back(), tensor.elements());
  }
  WENQU_RETURN_IF_ERROR(writer.open(options.output));
  cpu::ThreadPool threads(options.threads);
  quant::Progress progress{options.progress, cancel, report.values};
  for (size_t i = 0; i < types.size(); ++i) {
    const PlannedTensor& tensor = layout->tensors[i];
    WENQU_RETURN_IF_ERROR(
        quant::write_tensor(writer, tensor.name, types[i], tensor.ne[0], tensor.elements(), tensor.values, threads, progress));
  }
  WENQU_RETURN_IF_ERROR(writer.finish());
  return report;
} catch (const std::bad_alloc&) {
  return Status(StatusCode::out_of_memory, "not enough memory to convert", options.folder);
}

}  // namespace wenqu::engine::convert
