#include "engine/convert/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>

namespace wenqu::engine::convert {
namespace {

constexpr std::string_view kScale = "_scale_inv";   // of NAME.weight: NAME.weight_scale_inv

// Calls read(row, column, count, out) for the parts of rows that [first, first + count) consists of.
template <typename Read>
quant::ValueSource by_rows(uint64_t columns, Read read) {
  return [columns, read](uint64_t first, uint64_t count, float* out) {
    while (count > 0) {
      const uint64_t row = first / columns, column = first % columns, part = std::min(count, columns - column);
      read(row, column, part, out);
      first += part, count -= part, out += part;
    }
    return Status();
  };
}

Status misshapen(const SafetensorsEntry& entry, const std::vector<uint64_t>& wanted) {
  return Status(StatusCode::corrupt,
                fmt::format("has the shape [{}], config.json calls for [{}]", fmt::join(entry.shape, ", "), fmt::join(wanted, ", ")),
                fmt::format("tensor '{}'", entry.name));
}

}  // namespace

uint64_t PlannedTensor::elements() const {
  uint64_t product = 1;
  for (const uint64_t n : ne) product *= n;   // the checkpoint's shapes were checked
  return product;
}

Result<SourceMatrix> SourceMatrix::open(const Checkpoint& checkpoint, const HfConfig& config, const std::string& name,
                                        const std::vector<uint64_t>& shape) {
  const auto wrong = [&](StatusCode code, std::string what) { return Status(code, std::move(what), fmt::format("tensor '{}'", name)); };
  SourceMatrix matrix;
  matrix.entry_ = checkpoint.find(name);
  if (!matrix.entry_) return wrong(StatusCode::corrupt, "is missing: the folder is incomplete or of another kind of model");
  const SafetensorsEntry& entry = *matrix.entry_;
  if (!entry.dtype->readable)
    return wrong(StatusCode::unsupported, fmt::format("has the number format {}; F32, F16, BF16 and F8_E4M3 are supported", entry.dtype->name));
  if (entry.shape != shape) return misshapen(entry, shape);
  matrix.columns_ = shape.back();
  if (entry.dtype->name != "F8_E4M3") return matrix;

  if (config.block_rows == 0) return wrong(StatusCode::corrupt, "is in FP8, but config.json has no quantization_config.weight_block_size");
  const SafetensorsEntry* scales = checkpoint.find(name + std::string(kScale));
  if (!scales) return wrong(StatusCode::corrupt, fmt::format("is in FP8, but there is no '{}{}'", name, kScale));
  if (shape.size() != 2 || !scales->dtype->readable) return wrong(StatusCode::unsupported, "is in FP8 and no matrix with readable scales");
  matrix.block_rows_ = config.block_rows, matrix.block_columns_ = config.block_columns;
  matrix.scale_columns_ = (shape[1] + matrix.block_columns_ - 1) / matrix.block_columns_;
  const std::vector<uint64_t> wanted = {(shape[0] + matrix.block_rows_ - 1) / matrix.block_rows_, matrix.scale_columns_};
  if (scales->shape != wanted) return misshapen(*scales, wanted);
  matrix.scales_ = scales;
  return matrix;
}

void SourceMatrix::read(uint64_t row, uint64_t column, uint64_t count, float* out) const {
  const uint64_t size = entry_->dtype->bits / 8;
  decode(*entry_->dtype, entry_->data.data() + (row * columns_ + column) * size, count, out);
  if (!scales_) return;
  const uint64_t first = row / block_rows_ * scale_columns_, bytes = scales_->dtype->bits / 8;
  for (uint64_t i = 0; i < count;) {
    const uint64_t block = (column + i) / block_columns_, end = std::min(count, (block + 1) * block_columns_ - column);
    float scale;
    decode(*scales_->dtype, scales_->data.data() + (first + block) * bytes, 1, &scale);
    for (; i < end; ++i) out[i] *= scale;
  }
}

Result<SourceMatrix> Planner::open(const std::string& name, std::vector<uint64_t> shape) {
  Result<SourceMatrix> matrix = SourceMatrix::open(checkpoint_, config_, name, shape);
  used_.insert(name);
  if (matrix && matrix->is_scaled()) used_.insert(name + std::string(kScale));
  return matrix;
}

Status Planner::vector(std::string to, const std::string& from, uint64_t size, const RowMap& order) {
  WENQU_ASSIGN_OR_RETURN(const SourceMatrix source, open(from, {size}));
  const auto read = [source, order](uint64_t first, uint64_t count, float* out) {
    if (!order) source.read(0, first, count, out);
    for (uint64_t i = 0; order && i < count; ++i) source.read(0, order(first + i), 1, out + i);
    return Status();
  };
  tensors_.push_back({std::move(to), {size}, read});
  return {};
}

Status Planner::matrix(std::string to, const std::string& from, uint64_t in, uint64_t out) {
  return ordered(std::move(to), from, {in, out}, out, [](uint64_t row) { return row; });
}

Status Planner::ordered(std::string to, const std::string& from, std::vector<uint64_t> ne, uint64_t rows, RowMap order) {
  WENQU_ASSIGN_OR_RETURN(SourceMatrix opened, open(from, {rows, ne[0]}));
  const auto source = std::make_shared<const SourceMatrix>(std::move(opened));
  const auto read = [source, order = std::move(order)](uint64_t row, uint64_t column, uint64_t count, float* out) {
    source->read(order(row), column, count, out);
  };
  const uint64_t columns = ne[0];
  tensors_.push_back({std::move(to), std::move(ne), by_rows(columns, read)});
  return {};
}

Status Planner::stack(std::string to, const std::string& from, uint64_t in, uint64_t out, uint64_t count) {
  const auto sources = std::make_shared<std::vector<SourceMatrix>>();
  const size_t star = from.find('*');
  for (uint64_t k = 0; k < count; ++k) {
    WENQU_ASSIGN_OR_RETURN(SourceMatrix source, open(from.substr(0, star) + std::to_string(k) + from.substr(star + 1), {out, in}));
    sources->push_back(std::move(source));
  }
  const auto read = [sources, out](uint64_t row, uint64_t column, uint64_t part, float* values) {
    (*sources)[row / out].read(row % out, column, part, values);
  };
  tensors_.push_back({std::move(to), {in, out, count}, by_rows(in, read)});
  return {};
}

Status Planner::turned(std::string to, const std::string& from, uint64_t columns, uint64_t stride, uint64_t rows, uint64_t blocks) {
  WENQU_ASSIGN_OR_RETURN(SourceMatrix opened, open(from, {stride * blocks, columns}));
  const auto source = std::make_shared<const SourceMatrix>(std::move(opened));
  // Row r of the result is column r % columns of block r / columns.
  const auto read = [=](uint64_t row, uint64_t column, uint64_t count, float* out) {
    for (uint64_t i = 0; i < count; ++i) source->read(row / columns * stride + column + i, row % columns, 1, out + i);
  };
  tensors_.push_back({std::move(to), {rows, columns, blocks}, by_rows(rows, read)});
  return {};
}

void Planner::constant(std::string to, std::vector<float> values) {
  const uint64_t size = values.size();
  const auto read = [values = std::move(values)](uint64_t first, uint64_t count, float* out) {
    std::copy_n(values.begin() + static_cast<std::ptrdiff_t>(first), count, out);
    return Status();
  };
  tensors_.push_back({std::move(to), {size}, read});
}

std::vector<std::string> Planner::left_over() const {
  std::vector<std::string> names;
  for (const std::string_view name : checkpoint_.names())
    if (!used_.contains(std::string(name)) && !name.ends_with("rotary_emb.inv_freq")) names.emplace_back(name);
  return names;
}

}  // namespace wenqu::engine::convert
