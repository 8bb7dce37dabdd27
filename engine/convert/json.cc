#include "engine/convert/json.h"

#include <fmt/format.h>
#include <rapidjson/error/en.h>

#include "base/json_depth.h"
#include "base/mapped_file.h"
#include "base/utf8.h"

namespace wenqu::engine::convert {
namespace {

constexpr size_t kMaxBytes = size_t{256} << 20;
constexpr size_t kMaxDepth = 64;

}  // namespace

const Json* Object::find(std::string_view name) const {
  const auto member = value_->FindMember(Json(name.data(), static_cast<rapidjson::SizeType>(name.size())));
  return member == value_->MemberEnd() || member->value.IsNull() ? nullptr : &member->value;
}

Status Object::wrong(std::string_view name, std::string what) const {
  return Status(StatusCode::corrupt, std::move(what), fmt::format("{}: {}", place_, utf8_sanitize(name)));
}

Status Object::unsupported(std::string_view name, std::string what) const {
  return Status(StatusCode::unsupported, std::move(what), fmt::format("{}: {}", place_, utf8_sanitize(name)));
}

Status Object::count(std::string_view name, uint64_t low, uint64_t high, uint64_t& out) const {
  const Json* value = find(name);
  if (!value) return {};
  if (!value->IsUint64()) return wrong(name, "is no whole number");
  out = value->GetUint64();
  if (out < low || out > high) return wrong(name, fmt::format("is {}, not between {} and {}", out, low, high));
  return {};
}

Status Object::may_real(std::string_view name, double low, double high, double& out) const {
  const Json* value = find(name);
  if (!value) return {};
  if (!value->IsNumber()) return wrong(name, "is no number");
  const double number = value->GetDouble();
  if (!(number >= low && number <= high)) return wrong(name, fmt::format("is {}, not between {} and {}", number, low, high));
  out = number;
  return {};
}

Status Object::need_real(std::string_view name, double low, double high, double& out) const {
  if (!has(name)) return wrong(name, "is missing");
  return may_real(name, low, high, out);
}

Status Object::may_flag(std::string_view name, bool& out) const {
  const Json* value = find(name);
  if (!value) return {};
  if (!value->IsBool()) return wrong(name, "is no boolean");
  out = value->GetBool();
  return {};
}

Status Object::may_text(std::string_view name, std::string& out) const {
  const Json* value = find(name);
  if (!value) return {};
  if (!value->IsString()) return wrong(name, "is no text");
  out = text_of(*value);
  return {};
}

Result<std::optional<Object>> Object::object(std::string_view name) const {
  const Json* value = find(name);
  if (!value) return std::optional<Object>();
  if (!value->IsObject()) return wrong(name, "is no object");
  return std::optional<Object>(Object(*value, fmt::format("{}: {}", place_, name)));
}

Result<std::shared_ptr<const rapidjson::Document>> parse_json_object(std::string_view text, std::string_view place) {
  if (json_is_deeper(text, kMaxDepth)) return Status(StatusCode::corrupt, fmt::format("is nested deeper than {}", kMaxDepth), std::string(place));
  auto document = std::make_shared<rapidjson::Document>();
  // Numbers by the fast path: the exact one shifts by an undefined count where all digits of a fraction are zero.
  document->Parse<rapidjson::kParseIterativeFlag | rapidjson::kParseValidateEncodingFlag>(
      text.data(), text.size());
  if (document->HasParseError())
    return Status(StatusCode::corrupt,
                  fmt::format("is no JSON at byte {}: {}", document->GetErrorOffset(), rapidjson::GetParseError_En(document->GetParseError())),
                  std::string(place));
  if (!document->IsObject()) return Status(StatusCode::corrupt, "is no JSON object", std::string(place));
  return std::shared_ptr<const rapidjson::Document>(std::move(document));
}

Result<std::shared_ptr<const rapidjson::Document>> read_json_object(const std::string& path) {
  WENQU_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::open(path));
  if (file.size() > kMaxBytes)
    return Status(StatusCode::limit_exceeded, fmt::format("has {} bytes, more than the {} such a file may have", file.size(), kMaxBytes), path);
  return parse_json_object({reinterpret_cast<const char*>(file.data().data()), file.size()}, path);
}

}  // namespace wenqu::engine::convert
