#include "tests/support/gguf_writer.h"

#include <cstring>
#include <fstream>

namespace wenqu::test {
namespace {

constexpr size_t kAlignment = 32;

template <typename T>
void put(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof(T));
}

void put_string(std::string& out, std::string_view text) {
  put<uint64_t>(out, text.size());
  out += text;
}

void pad(std::string& out) { out.append((kAlignment - out.size() % kAlignment) % kAlignment, '\0'); }

}  // namespace

void GgufWriter::begin(std::string_view key, uint32_t type) {
  put_string(metadata_, key);
  put<uint32_t>(metadata_, type);
  ++keys_;
}

void GgufWriter::set_u32(std::string_view key, uint32_t value) { begin(key, 4), put(metadata_, value); }
void GgufWriter::set_i32(std::string_view key, int32_t value) { begin(key, 5), put(metadata_, value); }
void GgufWriter::set_f32(std::string_view key, float value) { begin(key, 6), put(metadata_, value); }
void GgufWriter::set_bool(std::string_view key, bool value) { begin(key, 7), put<uint8_t>(metadata_, value); }
void GgufWriter::set_string(std::string_view key, std::string_view value) { begin(key, 8), put_string(metadata_, value); }
void GgufWriter::set_u64(std::string_view key, uint64_t value) { begin(key, 10), put(metadata_, value); }

void GgufWriter::set_strings(std::string_view key, const std::vector<std::string>& values) {
  begin(key, 9);
  put<uint32_t>(metadata_, 8);
  put<uint64_t>(metadata_, values.size());
  for (const std::string& value : values) put_string(metadata_, value);
}

void GgufWriter::set_i32s(std::string_view key, const std::vector<int32_t>& values) {
  begin(key, 9);
  put<uint32_t>(metadata_, 5);
  put<uint64_t>(metadata_, values.size());
  for (int32_t value : values) put(metadata_, value);
}

void GgufWriter::set_f32s(std::string_view key, const std::vector<float>& values) {
  begin(key, 9);
  put<uint32_t>(metadata_, 6);
  put<uint64_t>(metadata_, values.size());
  for (float value : values) put(metadata_, value);
}

void GgufWriter::add_tensor(std::string_view name, engine::gguf::Type type, std::vector<uint64_t> ne, std::string bytes) {
  tensors_.push_back({std::string(name), static_cast<uint32_t>(type), std::move(ne), std::move(bytes)});
}

std::string GgufWriter::bytes() const {
  std::string out = "GGUF";
  put<uint32_t>(out, 3);
  put<uint64_t>(out, tensors_.size());
  put<uint64_t>(out, keys_);
  out += metadata_;
  uint64_t offset = 0;
  for (const Tensor& tensor : tensors_) {
    put_string(out, tensor.name);
    put<uint32_t>(out, static_cast<uint32_t>(tensor.ne.size()));
    for (uint64_t n : tensor.ne) put(out, n);
    put(out, tensor.type);
    put(out, offset);
    offset += (tensor.bytes.size() + kAlignment - 1) / kAlignment * kAlignment;
  }
  pad(out);
  for (const Tensor& tensor : tensors_) {
    out += tensor.bytes;
    pad(out);
  }
  return out;
}

void GgufWriter::write(const std::string& path) const {
  std::ofstream file(path, std::ios::binary);
  const std::string all = bytes();
  file.write(all.data(), static_cast<std::streamsize>(all.size()));
}

std::string f32_bytes(const std::vector<float>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)};
}

}  // namespace wenqu::test
