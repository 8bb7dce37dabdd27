#include "engine/gguf/file.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <unordered_map>

#include "base/utf8.h"
#include "engine/gguf/cursor.h"
#include "engine/gguf/metadata.h"

static_assert(std::endian::native == std::endian::little, "GGUF files are read as they lie in memory");

namespace wenqu::engine::gguf {
namespace {

constexpr uint32_t kMagic = 0x46554747;   // "GGUF"
constexpr uint64_t kMaxAlignment = 1 << 20;
constexpr uint64_t kDefaultAlignment = 32;
constexpr uint64_t kMaxParts = 999;

// False when the product does not fit.
bool multiply(uint64_t a, uint64_t b, uint64_t& product) { return !__builtin_mul_overflow(a, b, &product); }

// "NAME-00002-of-00005.gguf" as NAME and 5, by which every part is named; any other name as itself.
struct PartName {
  std::string name;
  uint64_t count = 0;   // 0: not a part's name

  std::string of(uint64_t number) const { return count ? fmt::format("{}-{:05}-of-{:05}.gguf", name, number + 1, count) : name; }
};

PartName part_name(const std::string& path) {
  constexpr std::string_view kPattern = "-00000-of-00000.gguf";
  if (path.size() <= kPattern.size()) return {path};
  const std::string_view end = std::string_view(path).substr(path.size() - kPattern.size());
  uint64_t count = 0;
  for (size_t i = 0; i < kPattern.size(); ++i) {
    if (kPattern[i] != '0' ? end[i] != kPattern[i] : end[i] < '0' || end[i] > '9') return {path};
    if (kPattern[i] == '0' && i > 9) count = count * 10 + static_cast<uint64_t>(end[i] - '0');
  }
  return count ? PartName{path.substr(0, path.size() - kPattern.size()), count} : PartName{path};
}

}  // namespace

struct File::State {
  std::string path;                // empty: the bytes were handed in
  std::vector<MappedFile> parts;
  uint64_t bytes = 0;              // of all parts
  Metadata metadata;   // of the first part
  std::vector<Tensor> tensors;
  std::unordered_map<std::string_view, size_t> by_name;

  Status read();
  // Adds a part's tensors, and gives its metadata.
  Status read_part(std::span<const std::byte> data, Metadata& keys);
  Status read_tensor(Cursor& cursor, uint64_t number, uint64_t alignment, uint64_t& offset);
};

Status File::State::read() {
  PartName name = part_name(path);
  {
    WENQU_ASSIGN_OR_RETURN(MappedFile first, MappedFile::open(name.of(0)));
    parts.push_back(std::move(first));
  }
  if (const Status status = read_part(parts[0].data(), metadata); !status) return status.at(name.of(0));
  const uint64_t count = metadata.get_uint("split.count").value_or(1);
  const auto wrong = [&](std::string_view key, std::string what) {
    return Status(StatusCode::corrupt, std::move(what), fmt::format("metadata key '{}'", key)).at(name.of(parts.size() - 1));
  };
  if (count <= 1) return {};
  if (count > kMaxParts) return wrong("split.count", fmt::format("is {}, more than {}", count, kMaxParts));
  if (name.count != count)
    return wrong("split.count", fmt::format("is {}: the files of a model in parts must be named NAME-00001-of-{:05}.gguf", count, count));
  if (metadata.get_uint("split.no") != 0) return wrong("split.no", "is not 0 in the first part");
  for (uint64_t i = 1; i < count; ++i) {
    WENQU_ASSIGN_OR_RETURN(MappedFile part, MappedFile::open(name.of(i)));
    parts.push_back(std::move(part));
    Metadata keys;
    if (const Status status = read_part(parts.back().data(), keys); !status) return status.at(name.of(i));
    if (keys.get_uint("split.no") != i || keys.get_uint("split.count") != count)
      return wrong("split.no", fmt::format("this is not part {} of {}", i + 1, count));
  }
  const auto stated = metadata.get_uint("split.tensors.count");
  if (stated && *stated != tensors.size())
    return wrong("split.tensors.count", fmt::format("is {}, but the parts hold {} tensors", *stated, tensors.size()));
  return {};
}

Status File::State::read_part(std::span<const std::byte> data, Metadata& keys) {
  bytes += data.size();
  Cursor cursor(data);
  uint32_t magic, version;
  uint64_t n_tensors, n_keys;
  if (!cursor.read(magic) || !cursor.read(version) || !cursor.read(n_tensors) || !cursor.read(n_keys))
    return Status(StatusCode::corrupt, "is shorter than the header of a GGUF file", "header");
  if (magic != kMagic) return Status(StatusCode::corrupt, "does not begin with \"GGUF\": not a model file", "header");
  if (version == 0x03000000 || version == 0x02000000)
    return Status(StatusCode::unsupported, "is a big-endian GGUF file", "header");
  if (version != 3 && version != 2)
    return Status(StatusCode::unsupported, fmt::format("has GGUF version {}, supported are 2 and 3", version), "header");
  WENQU_RETURN_IF_ERROR(keys.read(cursor, n_keys));

  uint64_t alignment = kDefaultAlignment;
  if (keys.has("general.alignment")) {
    const auto given = keys.get_uint("general.alignment");
    if (!given || *given == 0 || *given > kMaxAlignment || !std::has_single_bit(*given) || *given % 8 != 0)
      return Status(StatusCode::corrupt, "is not a power of two from 8 to 1048576", "metadata key 'general.alignment'");
    alignment = *given;
  }
  // A tensor takes at least a name's length, one byte of name, a dimension, a type and an offset.
  if (n_tensors > cursor.remaining() / 33)
    return Status(StatusCode::corrupt, fmt::format("claims {} tensors, more than the file can hold", n_tensors), "header");
  const size_t before = tensors.size();
  tensors.reserve(before + n_tensors);
  std::vector<uint64_t> offsets(n_tensors);
  for (uint64_t i = 0; i < n_tensors; ++i) WENQU_RETURN_IF_ERROR(read_tensor(cursor, i, alignment, offsets[i]));

  const uint64_t position = cursor.position();
  const uint64_t data_begin = (position + alignment - 1) / alignment * alignment;
  const uint64_t file_size = data.size();
  const uint64_t data_size = file_size > data_begin ? file_size - data_begin : 0;
  for (uint64_t i = 0; i < n_tensors; ++i) {
    Tensor& tensor = tensors[before + i];
    if (offsets[i] > data_size || tensor.bytes > data_size - offsets[i])
      return Status(StatusCode::corrupt,
                    fmt::format("needs {} bytes at offset {}, but the data section has {}: the file is cut short or damaged",
                                tensor.bytes, offsets[i], data_size),
                    fmt::format("tensor '{}'", tensor.name));
    tensor.data = data.data() + data_begin + offsets[i];
  }
  std::vector<const Tensor*> by_place;
  for (size_t i = before; i < tensors.size(); ++i) by_place.push_back(&tensors[i]);
  std::sort(by_place.begin(), by_place.end(), [](const Tensor* a, const Tensor* b) { return a->data < b->data; });
  for (size_t i = 1; i < by_place.size(); ++i)
    if (by_place[i]->data < by_place[i - 1]->data + by_place[i - 1]->bytes)
      return Status(StatusCode::corrupt, fmt::format("overlaps tensor '{}'", by_place[i - 1]->name),
                    fmt::format("tensor '{}'", by_place[i]->name));
  return {};
}

Status File::State::read_tensor(Cursor& cursor, uint64_t number, uint64_t alignment, uint64_t& offset) {
  Tensor tensor;
  if (!cursor.read_string(tensor.name))
    return Status(StatusCode::corrupt, "the file ends inside its name", fmt::format("tensor number {}", number));
  if (tensor.name.empty() || tensor.name.size() > 1024 || !utf8_is_valid(tensor.name))
    return Status(StatusCode::corrupt, "has no usable name", fmt::format("tensor number {}", number));
  const auto broken = [&](std::string what) {
    return Status(StatusCode::corrupt, std::move(what), fmt::format("tensor '{}'", tensor.name));
  };
  if (!cursor.read(tensor.n_dims)) return broken("the file ends inside its description");
  if (tensor.n_dims < 1 || tensor.n_dims > 4)
    return broken(fmt::format("has {} dimensions, 1 to 4 are allowed", tensor.n_dims));
  uint64_t elements = 1;
  for (uint32_t d = 0; d < tensor.n_dims; ++d) {
    if (!cursor.read(tensor.ne[d])) return broken("the file ends inside its dimensions");
    if (tensor.ne[d] == 0) return broken(fmt::format("has no elements in dimension {}", d));
    if (!multiply(elements, tensor.ne[d], elements)) return broken("is larger than any memory");
  }
  uint32_t type;
  if (!cursor.read(type) || !cursor.read(offset)) return broken("the file ends inside its description");
  const TypeTraits* traits = type_traits(type);
  if (!traits)
    return Status(StatusCode::unsupported, fmt::format("has the type number {}, which is not supported", type),
                  fmt::format("tensor '{}'", tensor.name));
  tensor.type = traits->type;
  if (tensor.ne[0] % traits->block_values != 0)
    return broken(fmt::format("has rows of {} values, which is no multiple of {}'s block of {}", tensor.ne[0], traits->name,
                              traits->block_values));
  if (!multiply(elements / traits->block_values, traits->block_bytes, tensor.bytes))
    return broken("is larger than any memory");
  if (offset % alignment != 0) return broken(fmt::format("has the offset {}, which is not aligned to {}", offset, alignment));
  if (!by_name.emplace(tensor.name, tensors.size()).second) return broken("appears twice");
  tensors.push_back(tensor);
  return {};
}

Result<std::shared_ptr<const File>> File::open(const std::string& path) {
  try {
    auto state = std::make_unique<State>();
    state->path = path;
    WENQU_RETURN_IF_ERROR(state->read());
    return std::shared_ptr<const File>(new File(std::move(state)));
  } catch (const std::bad_alloc&) {
    return Status(StatusCode::out_of_memory, "not enough memory for the list of tensors", path);
  }
}

Result<std::shared_ptr<const File>> File::parse(std::span<const std::byte> bytes) {
  try {
    auto state = std::make_unique<State>();
    WENQU_RETURN_IF_ERROR(state->read_part(bytes, state->metadata));
    if (state->metadata.get_uint("split.count").value_or(1) > 1)
      return Status(StatusCode::unsupported, "this is one part of a model in several files: open it by its path",
                    "metadata key 'split.count'");
    return std::shared_ptr<const File>(new File(std::move(state)));
  } catch (const std::bad_alloc&) {
    return Status(StatusCode::out_of_memory, "not enough memory for the list of tensors");
  }
}

File::File(std::unique_ptr<State> state) : state_(std::move(state)) {}
File::~File() = default;

const std::string& File::path() const { return state_->path; }
std::vector<std::string> File::paths() const {
  std::vector<std::string> paths;
  const PartName name = part_name(state_->path);
  for (size_t i = 0; i < state_->parts.size(); ++i) paths.push_back(name.of(i));
  return paths;
}
uint64_t File::file_bytes() const { return state_->bytes; }
bool File::has(std::string_view key) const { return state_->metadata.has(key); }
std::optional<uint64_t> File::get_uint(std::string_view key) const { return state_->metadata.get_uint(key); }
std::optional<int64_t> File::get_int(std::string_view key) const { return state_->metadata.get_int(key); }
std::optional<double> File::get_float(std::string_view key) const { return state_->metadata.get_float(key); }
std::optional<bool> File::get_bool(std::string_view key) const { return state_->metadata.get_bool(key); }
std::optional<std::string_view> File::get_string(std::string_view key) const { return state_->metadata.get_string(key); }
std::optional<std::vector<std::string_view>> File::get_strings(std::string_view key) const {
  return state_->metadata.get_strings(key);
}
std::optional<std::vector<int64_t>> File::get_ints(std::string_view key) const { return state_->metadata.get_ints(key); }
std::optional<std::vector<float>> File::get_floats(std::string_view key) const { return state_->metadata.get_floats(key); }
std::vector<std::pair<std::string, std::string>> File::describe() const { return state_->metadata.describe(); }
std::span<const std::string_view> File::keys() const { return state_->metadata.keys(); }
std::span<const std::byte> File::raw_value(std::string_view key) const { return state_->metadata.raw(key); }

const Tensor* File::tensor(std::string_view name) const {
  const auto found = state_->by_name.find(name);
  return found == state_->by_name.end() ? nullptr : &state_->tensors[found->second];
}

std::span<const Tensor> File::tensors() const { return state_->tensors; }

}  // namespace wenqu::engine::gguf
