#include "retrieval/index/record.h"

#include <cstdint>

namespace wenqu::retrieval {
namespace {

void put_number(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}

void put_string(std::string& out, std::string_view value) {
  put_number(out, value.size());
  out += value;
}

// Reads what put_* wrote; after the first thing that does not fit it gives only zeros.
class Decoder {
 public:
  explicit Decoder(std::string_view bytes) : bytes_(bytes) {}

  uint64_t number() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64 && !bytes_.empty(); shift += 7) {
      const auto byte = static_cast<unsigned char>(bytes_.front());
      bytes_.remove_prefix(1);
      value |= uint64_t{byte & 0x7Fu} << shift;
      if (byte < 0x80) return value;
    }
    fail();
    return 0;
  }

  uint32_t small_number() {
    const uint64_t value = number();
    if (value > UINT32_MAX) fail();
    return static_cast<uint32_t>(value);
  }

  std::string string() {
    const uint64_t size = number();
    if (size > bytes_.size()) {
      fail();
      return {};
    }
    std::string value(bytes_.substr(0, size));
    bytes_.remove_prefix(size);
    return value;
  }

  bool failed() const { return failed_; }
  bool finished() const { return !failed_ && bytes_.empty(); }
  void fail() {
    failed_ = true;
    bytes_ = {};
  }

 private:
  std::string_view bytes_;
  bool failed_ = false;
};

Status damaged(const char* what) {
  return Status(StatusCode::corrupt, std::string("a stored ") + what + " is damaged");
}

}  // namespace

std::string encode_properties(const Document& document) {
  std::string out;
  put_string(out, document.id);
  put_string(out, document.title);
  put_string(out, document.url);
  put_string(out, source_name(document.source));
  put_string(out, document.author);
  put_string(out, document.published_at);
  put_number(out, document.attributes.size());
  for (const auto& [name, value] : document.attributes) {
    put_string(out, name);
    put_string(out, value);
  }
  put_number(out, document.acl.size());
  for (const std::string& principal : document.acl) put_string(out, principal);
  return out;
}

Result<Document> decode_properties(std::string_view bytes) {
  Decoder in(bytes);
  Document document;
  document.id = in.string();
  document.title = in.string();
  document.url = in.string();
  const auto source = parse_source(in.string());
  document.author = in.string();
  document.published_at = in.string();
  for (uint64_t left = in.number(); left > 0 && !in.failed(); --left) {
    std::string name = in.string();
    document.attributes[std::move(name)] = in.string();
  }
  for (uint64_t left = in.number(); left > 0 && !in.failed(); --left) document.acl.push_back(in.string());
  if (!source || !in.finished()) return damaged("document");
  document.source = *source;
  return document;
}

std::string encode_passage(const Passage& passage) {
  std::string out;
  put_number(out, passage.ordinal);
  put_number(out, passage.range.begin);
  put_number(out, passage.range.end);
  put_string(out, passage.hash);
  put_string(out, passage.text);
  return out;
}

Result<Passage> decode_passage(std::string_view bytes) {
  Decoder in(bytes);
  Passage passage;
  passage.ordinal = in.small_number();
  passage.range.begin = in.small_number();
  passage.range.end = in.small_number();
  passage.hash = in.string();
  passage.text = in.string();
  if (!in.finished()) return damaged("passage");
  return passage;
}

}  // namespace wenqu::retrieval
