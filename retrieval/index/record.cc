#include "retrieval/index/record.h"

#include <cstdint>

#include "retrieval/store/coding.h"

namespace wenqu::retrieval {
namespace {

Locator read_locator(Decoder& in) {
  Locator locator;
  const uint64_t kind = in.number();
  locator.number = in.number();
  if (kind > static_cast<uint64_t>(Locator::Kind::row)) in.fail();
  else locator.kind = static_cast<Locator::Kind>(kind);
  return locator;
}

void put_locator(std::string& out, const Locator& locator) {
  put_number(out, static_cast<uint64_t>(locator.kind));
  put_number(out, locator.number);
}

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

// Each place is told as its distance from the one before.
std::string encode_marks(const Document& document) {
  std::string out;
  if (document.marks.empty() && document.passages.empty()) return out;
  put_number(out, document.marks.size());
  uint32_t before = 0;
  for (const Mark& mark : document.marks) {
    put_number(out, mark.begin - before);
    put_locator(out, mark.locator);
    before = mark.begin;
  }
  if (document.passages.empty()) return out;
  put_number(out, document.passages.size());
  before = 0;
  for (const CharRange& passage : document.passages) {
    put_number(out, passage.begin - before);
    put_number(out, passage.end - passage.begin);
    before = passage.end;
  }
  return out;
}

Status decode_marks(std::string_view bytes, Document& document) {
  Decoder in(bytes);
  uint64_t place = 0;
  const auto next_place = [&] {
    place += in.small_number();
    if (place > UINT32_MAX) in.fail();
    return static_cast<uint32_t>(place);
  };
  for (uint64_t left = in.number(); left > 0 && !in.failed(); --left) {
    const uint32_t begin = next_place();
    document.marks.push_back({begin, read_locator(in)});
  }
  place = 0;
  for (uint64_t left = in.has_more() ? in.number() : 0; left > 0 && !in.failed(); --left) {
    const uint32_t begin = next_place();
    document.passages.push_back({begin, next_place()});
  }
  return in.finished() ? Status() : damaged("document");
}

std::string encode_passage(const Passage& passage) {
  std::string out;
  put_number(out, passage.ordinal);
  put_number(out, passage.range.begin);
  put_number(out, passage.range.end);
  put_string(out, passage.hash);
  put_string(out, passage.text);
  if (passage.locator.kind != Locator::Kind::none || !passage.marks.empty()) put_locator(out, passage.locator);
  if (passage.marks.empty()) return out;
  put_number(out, passage.marks.size());
  uint32_t place = 0;
  for (const Mark& mark : passage.marks) {
    put_number(out, mark.begin - place);
    put_locator(out, mark.locator);
    place = mark.begin;
  }
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
  if (in.has_more()) passage.locator = read_locator(in);
  uint32_t place = 0;
  for (uint64_t left = in.has_more() ? in.number() : 0; left > 0 && !in.failed(); --left) {
    place += in.small_number();
    passage.marks.push_back({place, read_locator(in)});
  }
  if (!in.finished()) return damaged("passage");
  return passage;
}

}  // namespace wenqu::retrieval
