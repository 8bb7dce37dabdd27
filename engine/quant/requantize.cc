#include "engine/quant/requantize.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "engine/cpu/kernels.h"
#include "engine/gguf/file.h"
#include "engine/quant/stream.h"

namespace wenqu::engine::quant {
namespace {

constexpr uint64_t kQuantizationVersion = 2;

bool is_float(gguf::Type type) { return type == gguf::Type::f32 || type == gguf::Type::f16 || type == gguf::Type::bf16; }

// The output is written beside its name and renamed, which would put it over an input that is still mapped.
Status check_not_input(const gguf::File& file, const RequantizeOptions& options) {
  std::error_code error;
  for (const std::string& part : file.paths())
    if (std::filesystem::equivalent(part, options.output, error))
      return Status(StatusCode::invalid_argument, "is the input itself: name another file", options.output);
  return {};
}

void copy_metadata(const gguf::File& file, const Mix& mix, gguf::Writer& writer) {
  for (std::string_view key : file.keys())
    if (!key.starts_with("split.") && key != "general.alignment") writer.set_raw(key, file.raw_value(key));
  writer.set_uint("general.file_type", mix.file_type);
  writer.set_uint("general.quantization_version", kQuantizationVersion);
}

Status write(const gguf::Tensor& tensor, gguf::Type type, gguf::Writer& writer, cpu::ThreadPool& threads, Progress& progress) {
  if (type != tensor.type) {
    const auto source = [&](uint64_t first, uint64_t count, float* out) {
      cpu::dequantize_row(tensor.type, tensor.data + gguf::type_row_bytes(tensor.type, first), count, out);
      return Status();
    };
    return write_tensor(writer, tensor.name, type, tensor.ne[0], tensor.elements(), source, threads, progress);
  }
  constexpr uint64_t kChunk = 8 << 20;
  for (uint64_t begin = 0; begin < tensor.bytes; begin += kChunk) {
    const uint64_t count = std::min(kChunk, tensor.bytes - begin);
    WENQU_RETURN_IF_ERROR(writer.append(tensor.name, {tensor.data + begin, count}));
    WENQU_RETURN_IF_ERROR(progress.cancel.status());
  }
  return progress.advance(tensor.elements());
}

}  // namespace

Result<RequantizeReport> requantize(const RequantizeOptions& options, const CancelToken& cancel) try {
  WENQU_RETURN_IF_ERROR(cpu::check_threads(options.threads));
  WENQU_ASSIGN_OR_RETURN(const Mix mix, find_mix(options.mix));
  WENQU_ASSIGN_OR_RETURN(const std::shared_ptr<const gguf::File> file, gguf::File::open(options.input));
  WENQU_RETURN_IF_ERROR(check_not_input(*file, options));

  const std::string architecture(file->get_string("general.architecture").value_or(""));
  const ModelShape shape{static_cast<uint32_t>(std::min<uint64_t>(file->get_uint(architecture + ".block_count").value_or(0), UINT32_MAX)),
                         file->tensor("output.weight") == nullptr};
  gguf::Writer writer;
  copy_metadata(*file, mix, writer);
  RequantizeReport report;
  std::vector<gguf::Type> types;
  for (const gguf::Tensor& tensor : file->tensors()) {
    const std::span<const uint64_t> ne(tensor.ne.data(), tensor.n_dims);
    types.push_back(choose_type(mix, shape, tensor.name, ne).value_or(tensor.type));
    WENQU_RETURN_IF_ERROR(writer.add_tensor(tensor.name, types.back(), ne));
    report.input_bytes += tensor.bytes;
    report.output_bytes += gguf::type_row_bytes(types.back(), tensor.elements());
    report.values += tensor.elements();
    report.already_quantized += types.back() != tensor.type && !is_float(tensor.type);
  }
  WENQU_RETURN_IF_ERROR(writer.open(options.output));
  cpu::ThreadPool threads(options.threads);
  Progress progress{options.progress, cancel, report.values};
  for (size_t i = 0; i < types.size(); ++i)
    WENQU_RETURN_IF_ERROR(write(file->tensors()[i], types[i], writer, threads, progress));
  WENQU_RETURN_IF_ERROR(writer.finish());
  return report;
} catch (const std::bad_alloc&) {
  return Status(StatusCode::out_of_memory, "not enough memory to quantize", options.input);
}

}  // namespace wenqu::engine::quant
