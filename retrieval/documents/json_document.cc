#include <algorithm>
#include <array>
#include <new>

#include <fmt/format.h>
#include <rapidjson/document.h>
#include <rapidjson/error/en.h>

#include "base/json_depth.h"
#include "base/utf8.h"
#include "retrieval/documents/acl_names.h"
#include "retrieval/documents/dates.h"
#include "retrieval/documents/reader.h"

namespace wenqu::retrieval {
namespace {

constexpr size_t kMaxDepth = 64;
constexpr size_t kMaxIdBytes = 1024;

Status invalid(std::string message, std::string where = {}) {
  return Status(StatusCode::invalid_argument, std::move(message), std::move(where));
}

std::string_view type_name(const rapidjson::Value& value) {
  if (value.IsString()) return "a string";
  if (value.IsNumber()) return "a number";
  if (value.IsBool()) return "a boolean";
  if (value.IsObject()) return "an object";
  if (value.IsArray()) return "an array";
  return "null";
}

std::string string_of(const rapidjson::Value& value) { return {value.GetString(), value.GetStringLength()}; }

// For a message.
std::string_view shortened(std::string_view text) { return text.substr(0, utf8_complete_prefix(text.substr(0, 60))); }

// A member that differs from a known one only in case was meant to be that one: "ACL" would let everybody in, and so would "acls".
Status check_spelling(const rapidjson::Value& object) {
  constexpr std::array<std::string_view, 11> kMembers = {"id", "text", "passages", "title", "url", "source",
                                                         "author", "published_at", "attributes", "acl", "marks"};
  for (const auto& member : object.GetObject()) {
    const std::string written = string_of(member.name);
    std::string name = written;
    for (char& c : name) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    if (is_meant_as_acl(name)) return invalid(fmt::format("`{}` is not known: write `acl`", written), written);
    if (name != written && std::find(kMembers.begin(), kMembers.end(), name) != kMembers.end())
      return invalid(fmt::format("`{}` is not known: write `{}`", written, name), written);
  }
  return {};
}

// Reads the string member `name` into `out`; a member that is absent or null leaves it as it is.
Status read_string(const rapidjson::Value& object, const char* name, std::string& out) {
  const auto member = object.FindMember(name);
  if (member == object.MemberEnd() || member->value.IsNull()) return {};
  if (!member->value.IsString())
    return invalid(fmt::format("`{}` must be a string, not {}", name, type_name(member->value)), name);
  out = string_of(member->value);
  return {};
}

bool is_blank(std::string_view text) { return text.find_first_not_of(" \t\r\n") == std::string_view::npos; }

Status read_required(const rapidjson::Value& object, const char* name, std::string& out) {
  WENQU_RETURN_IF_ERROR(read_string(object, name, out));
  if (!is_blank(out)) return {};
  return invalid(fmt::format("`{}` is missing or empty: every document needs one", name), name);
}

Status read_source(const rapidjson::Value& object, Source& source) {
  std::string name;
  WENQU_RETURN_IF_ERROR(read_string(object, "source", name));
  if (name.empty()) return {};
  const std::optional<Source> known = parse_source(name);
  if (!known)
    return invalid(fmt::format("unknown source \"{}\": use official_account, video, web, chat or file",
                               shortened(name)),
                   "source");
  source = *known;
  return {};
}

Status read_published_at(const rapidjson::Value& object, std::string& out, std::string* undated) {
  const auto member = object.FindMember("published_at");
  if (member == object.MemberEnd() || member->value.IsNull()) return {};
  std::string written;
  if (member->value.IsNumber()) written = fmt::format("{:.0f}", member->value.GetDouble());
  else WENQU_RETURN_IF_ERROR(read_string(object, "published_at", written));
  out = iso_date(written);
  if (!out.empty() || is_blank(written)) return {};
  const std::string problem = fmt::format("`published_at` is no date that can be read: \"{}\"; write it as 2026-03-01 or 2026-03-01T10:00:00+08:00",
                                          shortened(written));
  if (!undated) return invalid(problem, "published_at");
  *undated = problem + ". The document is kept without a date";
  return {};
}

Status read_attributes(const rapidjson::Value& object, std::map<std::string, std::string>& out) {
  const auto member = object.FindMember("attributes");
  if (member == object.MemberEnd() || member->value.IsNull()) return {};
  if (!member->value.IsObject())
    return invalid(fmt::format("`attributes` must be an object, not {}", type_name(member->value)), "attributes");
  for (const auto& attribute : member->value.GetObject()) {
    const std::string name = string_of(attribute.name);
    const rapidjson::Value& value = attribute.value;
    if (value.IsString()) out[name] = string_of(value);
    else if (value.IsBool()) out[name] = value.GetBool() ? "true" : "false";
    else if (value.IsInt64()) out[name] = fmt::format("{}", value.GetInt64());
    else if (value.IsUint64()) out[name] = fmt::format("{}", value.GetUint64());
    else if (value.IsNumber()) out[name] = fmt::format("{}", value.GetDouble());
    else
      return invalid(fmt::format("`attributes.{}` must be a string, number or boolean, not {}", name, type_name(value)),
                     "attributes");
  }
  return {};
}

Status read_acl(const rapidjson::Value& object, std::vector<std::string>& out) {
  const auto member = object.FindMember("acl");
  if (member == object.MemberEnd() || member->value.IsNull()) return {};
  if (!member->value.IsArray()) return invalid(fmt::format("`acl` must be a list, not {}", type_name(member->value)), "acl");
  for (const rapidjson::Value& principal : member->value.GetArray()) {
    if (!principal.IsString() || principal.GetStringLength() == 0)
      return invalid("`acl` must be a list of names that are not empty", "acl");
    out.push_back(string_of(principal));
  }
  return {};
}

// "marks": [{"begin": 120, "kind": "time", "number": 61000}, ...], in the order of the text.
Status read_marks(const rapidjson::Value& object, std::vector<Mark>& out) {
  const auto member = object.FindMember("marks");
  if (member == object.MemberEnd() || member->value.IsNull()) return {};
  const auto wrong = [] {
    return invalid("`marks` must be an array of {\"begin\": code point, \"kind\": page, time, section or row, "
                   "\"number\": its number}, in the order of the text", "marks");
  };
  if (!member->value.IsArray()) return wrong();
  for (const auto& value : member->value.GetArray()) {
    if (!value.IsObject()) return wrong();
    const auto begin = value.FindMember("begin"), kind = value.FindMember("kind"), number = value.FindMember("number");
    const auto end = value.MemberEnd();
    if (begin == end || kind == end || number == end || !begin->value.IsUint() || !kind->value.IsString() ||
        !number->value.IsUint64())
      return wrong();
    const auto known = parse_locator(string_of(kind->value));
    if (!known || (!out.empty() && out.back().begin > begin->value.GetUint())) return wrong();
    out.push_back({begin->value.GetUint(), {*known, number->value.GetUint64()}});
  }
  return {};
}

// "passages": ["…", "…"] in place of "text": the text is then these, each on a line of its own.
Status read_text(const rapidjson::Value& object, Document& document) {
  const auto member = object.FindMember("passages");
  if (member == object.MemberEnd() || member->value.IsNull()) return read_required(object, "text", document.text);
  if (!member->value.IsArray()) return invalid(fmt::format("`passages` must be a list, not {}", type_name(member->value)), "passages");
  if (const auto text = object.FindMember("text"); text != object.MemberEnd() && !text->value.IsNull())
    return invalid("a document has `text` or `passages`, not both", "passages");
  uint32_t begin = 0;
  for (const rapidjson::Value& passage : member->value.GetArray()) {
    if (!passage.IsString() || is_blank(string_of(passage)))
      return invalid("`passages` must be a list of texts that are not empty", "passages");
    if (begin > 0) document.text += '\n';
    const std::string text = string_of(passage);
    const auto end = static_cast<uint32_t>(begin + utf8_length(text));
    document.text += text;
    document.passages.push_back({begin, end});
    begin = end + 1;
  }
  return document.passages.empty() ? invalid("`passages` is empty: every document needs one", "passages") : Status();
}

Result<Document> document_of(const rapidjson::Value& object, Source default_source, std::string* undated) {
  WENQU_RETURN_IF_ERROR(check_spelling(object));
  Document document;
  document.source = default_source;
  WENQU_RETURN_IF_ERROR(read_required(object, "id", document.id));
  if (document.id.size() > kMaxIdBytes)
    return invalid(fmt::format("`id` has {} bytes: at most {} are allowed", document.id.size(), kMaxIdBytes), "id");
  WENQU_RETURN_IF_ERROR(read_text(object, document));
  WENQU_RETURN_IF_ERROR(read_string(object, "title", document.title));
  WENQU_RETURN_IF_ERROR(read_string(object, "url", document.url));
  WENQU_RETURN_IF_ERROR(read_string(object, "author", document.author));
  WENQU_RETURN_IF_ERROR(read_published_at(object, document.published_at, undated));
  WENQU_RETURN_IF_ERROR(read_source(object, document.source));
  WENQU_RETURN_IF_ERROR(read_attributes(object, document.attributes));
  WENQU_RETURN_IF_ERROR(read_acl(object, document.acl));
  WENQU_RETURN_IF_ERROR(read_marks(object, document.marks));
  return document;
}

}  // namespace

Result<Document> parse_document_json(std::string_view line, Source default_source, std::string* undated) {
  try {
    if (!utf8_is_valid(line)) return invalid("the line is not valid UTF-8");
    if (json_is_deeper(line, kMaxDepth))
      return invalid(fmt::format("the JSON is nested deeper than {} levels", kMaxDepth));
    rapidjson::Document json;
    json.Parse<rapidjson::kParseIterativeFlag | rapidjson::kParseValidateEncodingFlag |
               rapidjson::kParseFullPrecisionFlag>(line.data(), line.size());
    if (json.HasParseError())
      return invalid(fmt::format("not valid JSON at byte {}: {}", json.GetErrorOffset(),
                                 rapidjson::GetParseError_En(json.GetParseError())));
    if (!json.IsObject())
      return invalid(fmt::format("a document is a JSON object, not {}", type_name(json)));
    return document_of(json, default_source, undated);
  } catch (const std::bad_alloc&) {
    return Status(StatusCode::out_of_memory, "no memory to read this document");
  }
}

}  // namespace wenqu::retrieval
