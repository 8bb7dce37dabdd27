#include "engine/gguf/writer.h"

#include <fmt/format.h>

namespace wenqu::engine::gguf {
namespace {

constexpr uint64_t kAlignment = 32;   // what readers take when a file names none
constexpr size_t kMaxNameBytes = 64;  // the format's own limit for tensors
enum : uint32_t { kU32 = 4, kI32 = 5, kF32 = 6, kBool = 7, kString = 8, kArray = 9 };

template <typename T>
void put(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof(T));
}

void put_text(std::string& out, std::string_view text) {
  put<uint64_t>(out, text.size());
  out += text;
}

uint64_t aligned(uint64_t size) { return (size + kAlignment - 1) / kAlignment * kAlignment; }

}  // namespace

std::string& Writer::value(std::string_view key) {
  const auto [place, added] = places_.emplace(std::string(key), values_.size());
  if (added) values_.emplace_back(std::string(key), std::string());
  std::string& bytes = values_[place->second].second;
  bytes.clear();
  return bytes;
}

void Writer::set_uint(std::string_view key, uint32_t number) {
  std::string& out = value(key);
  put<uint32_t>(out, kU32), put(out, number);
}

void Writer::set_float(std::string_view key, float number) {
  std::string& out = value(key);
  put<uint32_t>(out, kF32), put(out, number);
}

void Writer::set_bool(std::string_view key, bool flag) {
  std::string& out = value(key);
  put<uint32_t>(out, kBool), put<uint8_t>(out, flag);
}

void Writer::set_string(std::string_view key, std::string_view text) {
  std::string& out = value(key);
  put<uint32_t>(out, kString), put_text(out, text);
}

void Writer::set_strings(std::string_view key, std::span<const std::string> texts) {
  std::string& out = value(key);
  put<uint32_t>(out, kArray), put<uint32_t>(out, kString), put<uint64_t>(out, texts.size());
  for (const std::string& text : texts) put_text(out, text);
}

void Writer::set_ints(std::string_view key, std::span<const int32_t> numbers) {
  std::string& out = value(key);
  put<uint32_t>(out, kArray), put<uint32_t>(out, kI32), put<uint64_t>(out, numbers.size());
  for (const int32_t number : numbers) put(out, number);
}

void Writer::set_raw(std::string_view key, std::span<const std::byte> bytes) {
  value(key).assign(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

Status Writer::add_tensor(std::string_view name, Type type, std::span<const uint64_t> ne) {
  const auto wrong = [&](std::string what) {
    return Status(StatusCode::invalid_argument, std::move(what), fmt::format("tensor '{}'", name));
  };
  if (name.empty() || name.size() > kMaxNameBytes) return wrong(fmt::format("its name must have 1 to {} bytes", kMaxNameBytes));
  if (ne.empty() || ne.size() > 4) return wrong(fmt::format("has {} dimensions; 1 to 4 are possible", ne.size()));
  const TypeTraits& traits = type_traits(type);
  uint64_t values = 1, bytes = 0, end = 0;
  for (const uint64_t n : ne)
    if (n == 0 || __builtin_mul_overflow(values, n, &values)) return wrong("its shape is empty or too large");
  if (ne[0] % traits.block_values)
    return wrong(fmt::format("has rows of {} values, which are no whole blocks of {}", ne[0], traits.name));
  if (__builtin_mul_overflow(values / traits.block_values, uint64_t{traits.block_bytes}, &bytes) ||
      __builtin_add_overflow(data_bytes_, bytes, &end) || end > UINT64_MAX - kAlignment)
    return wrong("is too large");
  if (!names_.emplace(name).second) return wrong("is there twice");
  tensors_.push_back({std::string(name), type, {ne.begin(), ne.end()}, bytes, data_bytes_});
  data_bytes_ = aligned(end);
  return {};
}

Status Writer::open(const std::string& path) {
  std::string head = "GGUF";
  put<uint32_t>(head, 3);
  put<uint64_t>(head, tensors_.size());
  put<uint64_t>(head, values_.size());
  for (const auto& [key, bytes] : values_) put_text(head, key), head += bytes;
  for (const Tensor& tensor : tensors_) {
    put_text(head, tensor.name);
    put<uint32_t>(head, static_cast<uint32_t>(tensor.ne.size()));
    for (const uint64_t n : tensor.ne) put(head, n);
    put(head, static_cast<uint32_t>(tensor.type));
    put(head, tensor.offset);
  }
  WENQU_ASSIGN_OR_RETURN(OutputFile file, OutputFile::create(path));
  file_ = std::move(file);
  WENQU_RETURN_IF_ERROR(file_->write(head));
  return file_->pad(kAlignment);
}

Status Writer::append(std::string_view name, std::span<const std::byte> bytes) {
  const auto wrong = [&](std::string what) {
    return Status(StatusCode::internal, std::move(what), fmt::format("tensor '{}'", name));
  };
  if (!file_ || current_ >= tensors_.size() || tensors_[current_].name != name) return wrong("is not the one to be written now");
  const Tensor& tensor = tensors_[current_];
  if (bytes.size() > tensor.bytes - written_) return wrong(fmt::format("has more than the {} bytes of its shape", tensor.bytes));
  WENQU_RETURN_IF_ERROR(file_->write(bytes));
  written_ += bytes.size();
  if (written_ < tensor.bytes) return {};
  ++current_;
  written_ = 0;
  return file_->pad(kAlignment);
}

Status Writer::finish() {
  if (!file_) return Status(StatusCode::internal, "the file was not opened");
  if (current_ < tensors_.size())
    return Status(StatusCode::internal, fmt::format("has {} of its {} bytes", written_, tensors_[current_].bytes),
                  fmt::format("tensor '{}'", tensors_[current_].name));
  return file_->finish();
}

}  // namespace wenqu::engine::gguf
