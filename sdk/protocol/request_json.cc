#include "sdk/protocol/request_json.h"

#include <fmt/format.h>
#include <rapidjson/document.h>
#include <rapidjson/error/en.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <initializer_list>
#include <optional>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "base/json_depth.h"

namespace wenqu::protocol {
namespace {

using rapidjson::Value;

constexpr size_t kMaxDepth = 32;
constexpr size_t kMostOfStreamId = 256;   // bytes

Status wrong(std::string_view member, std::string_view wanted) {
  return Status(StatusCode::invalid_argument, fmt::format("must be {}", wanted), std::string(member));
}

// Members of one object, each read into its place when present and not null.
class Members {
 public:
  Members(const Value& object, std::string prefix) : object_(object), prefix_(std::move(prefix)) {}

  const Value* find(const char* name) const {
    const auto member = object_.FindMember(name);
    return member == object_.MemberEnd() || member->value.IsNull() ? nullptr : &member->value;
  }

  bool is_null(const char* name) const {
    const auto member = object_.FindMember(name);
    return member != object_.MemberEnd() && member->value.IsNull();
  }
  std::vector<std::string> names() const {
    std::vector<std::string> all;
    for (const auto& member : object_.GetObject()) all.emplace_back(member.name.GetString(), member.name.GetStringLength());
    return all;
  }
  // A member as errors name it.
  std::string path(std::string_view name) const { return prefix_ + std::string(name); }
  // The name of a member that is none of these; empty: there is none.
  std::string other_than(std::initializer_list<std::string_view> names) const {
    for (const auto& member : object_.GetObject()) {
      const std::string name(member.name.GetString(), member.name.GetStringLength());
      if (std::find(names.begin(), names.end(), name) == names.end()) return name;
    }
    return {};
  }

  // The name of a member that is there twice, where only the first would count; empty: there is none.
  std::string repeated() const {
    std::set<std::string> seen;
    for (const std::string& name : names())
      if (!seen.insert(name).second) return name;
    return {};
  }

  Status text(const char* name, std::string& into) const {
    const Value* value = find(name);
    if (!value) return {};
    if (!value->IsString()) return wrong(prefix_ + name, "a string");
    into.assign(value->GetString(), value->GetStringLength());
    return {};
  }

  template <typename Integer>
  Status count(const char* name, Integer& into) const {
    const Value* value = find(name);
    if (!value) return {};
    if (!value->IsUint64()) return wrong(prefix_ + name, "a whole number, 0 or above");
    into = static_cast<Integer>(value->GetUint64());
    return {};
  }

  template <typename Real>
  Status real(const char* name, Real& into) const {
    const Value* value = find(name);
    if (!value) return {};
    if (!value->IsNumber()) return wrong(prefix_ + name, "a number");
    into = static_cast<Real>(value->GetDouble());
    return {};
  }

  // An empty Members when absent.
  Result<std::optional<Members>> object(const char* name) const {
    const Value* value = find(name);
    if (!value) return std::optional<Members>();
    if (!value->IsObject()) return wrong(prefix_ + name, "an object");
    return std::optional<Members>(Members(*value, prefix_ + name + "."));
  }

 private:
  const Value& object_;
  std::string prefix_;
};

struct Message {
  bool by_user = false;
  std::string text;
};

Status read_content(const Value& message, const std::string& member, std::string& into) {
  const auto content = message.FindMember("content");
  if (content == message.MemberEnd()) return wrong(member + "[].content", "a string or a list of parts");
  if (content->value.IsString()) {
    into.assign(content->value.GetString(), content->value.GetStringLength());
    return {};
  }
  if (!content->value.IsArray()) return wrong(member + "[].content", "a string or a list of parts");
  for (const Value& part : content->value.GetArray()) {
    if (!part.IsObject()) return wrong(member + "[].content[]", "an object");
    const auto text = part.FindMember("text");
    if (text == part.MemberEnd() || !text->value.IsString())
      return Status(StatusCode::unsupported, "only parts with a text are taken", member + "[].content[]");
    into.append(text->value.GetString(), text->value.GetStringLength());
  }
  return {};
}

// The messages of a list. Other items of an earlier response are passed over.
Status read_messages(const Value& list, const std::string& member, std::vector<Message>& into) {
  for (const Value& item : list.GetArray()) {
    if (!item.IsObject()) return wrong(member + "[]", "an object");
    const auto type = item.FindMember("type"), role = item.FindMember("role");
    if (type != item.MemberEnd() && type->value.IsString() && std::string_view(type->value.GetString()) != "message") continue;
    if (role == item.MemberEnd()) return wrong(member + "[].role", "\"user\" or \"assistant\"");
    const std::string_view name = role->value.IsString() ? std::string_view(role->value.GetString(), role->value.GetStringLength()) : "";
    if (name == "system" || name == "developer")
      return Status(StatusCode::unsupported, "instructions are not followed: put what matters into the question", member + "[].role");
    if (name != "user" && name != "assistant") return wrong(member + "[].role", "\"user\" or \"assistant\"");
    Message& message = into.emplace_back();
    message.by_user = name == "user";
    WENQU_RETURN_IF_ERROR(read_content(item, member, message.text));
  }
  return {};
}

// Questions with the answers that follow them.
std::vector<assistant::Exchange> as_exchanges(std::span<const Message> messages) {
  std::vector<assistant::Exchange> exchanges;
  for (const Message& message : messages) {
    if (message.by_user) {
      exchanges.push_back({message.text, {}});
    } else if (!exchanges.empty()) {   // a greeting answers nothing
      std::string& answer = exchanges.back().answer;
      answer += (answer.empty() ? "" : "\n") + message.text;
    }
  }
  return exchanges;
}

// `input`: a string, or a list of messages of which the last is the question and the others are what was said before.
Status read_input(const Members& message, assistant::AskRequest& request) {
  const Value* input = message.find("input");
  if (!input) return Status(StatusCode::invalid_argument, "is missing: put the question here", "input");
  if (input->IsString()) {
    request.question.assign(input->GetString(), input->GetStringLength());
    return {};
  }
  if (!input->IsArray()) return wrong("input", "a string or a list of messages");
  std::vector<Message> messages;
  WENQU_RETURN_IF_ERROR(read_messages(*input, "input", messages));
  if (messages.empty() || !messages.back().by_user)
    return Status(StatusCode::invalid_argument, "must end with a message of role \"user\": the question", "input");
  request.question = std::move(messages.back().text);
  messages.pop_back();
  request.history = as_exchanges(messages);
  return {};
}

// A list of strings; a string stands for a list of one.
Status read_names(const Value& value, std::string_view member, std::vector<std::string>& into) {
  if (value.IsString()) {
    into.emplace_back(value.GetString(), value.GetStringLength());
    return {};
  }
  if (!value.IsArray()) return wrong(member, "a list of strings");
  for (const Value& name : value.GetArray()) {
    if (!name.IsString()) return wrong(std::string(member) + "[]", "a string");
    into.emplace_back(name.GetString(), name.GetStringLength());
  }
  return {};
}

Status read_filter(const Members& ours, assistant::AskRequest& request) {
  if (const std::string twice = ours.repeated(); !twice.empty()) return Status(StatusCode::invalid_argument, "is there twice", ours.path(twice));
  retrieval::Filter& filter = request.filter;
  if (const Value* sources = ours.find("sources")) {
    if (!sources->IsArray()) return wrong(ours.path("sources"), "a list of source names");
    for (const Value& name : sources->GetArray()) {
      const auto source = name.IsString() ? retrieval::parse_source({name.GetString(), name.GetStringLength()}) : std::nullopt;
      if (!source) return wrong(ours.path("sources[]"), "one of official_account, video, web, chat, file");
      request.sources.push_back(*source);
    }
  }
  WENQU_RETURN_IF_ERROR(ours.text("published_from", filter.published_from));
  WENQU_RETURN_IF_ERROR(ours.text("published_until", filter.published_until));
  if (const Value* attributes = ours.find("attributes")) {
    if (!attributes->IsObject()) return wrong(ours.path("attributes"), "an object of lists of strings");
    for (const auto& attribute : attributes->GetObject()) {
      const std::string name(attribute.name.GetString(), attribute.name.GetStringLength());
      WENQU_RETURN_IF_ERROR(read_names(attribute.value, ours.path("attributes." + name), filter.attributes[name]));
    }
  }
  // Null would be anybody, or nobody: neither is guessed.
  if (ours.is_null("principals")) return wrong(ours.path("principals"), "a list of strings: an empty one for who may see only what all may");
  if (const Value* principals = ours.find("principals"))
    WENQU_RETURN_IF_ERROR(read_names(*principals, ours.path("principals"), filter.principals.emplace()));
  return {};
}

// What is there to keep something back must not be passed over because it is misspelt or stands in the wrong place.
Status check_places(const Members& message) {
  bool told = false;
  for (const std::string& name : message.names()) {
    std::string lower = name;
    std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    if (lower == "wenqu" && name != "wenqu") return Status(StatusCode::invalid_argument, "is written \"wenqu\"", name);
    if (name == "wenqu" && std::exchange(told, true)) return Status(StatusCode::invalid_argument, "is there twice", name);
    for (const std::string_view ours : {"principal", "source", "attribute", "filter", "published_from", "published_until"})
      if (lower == ours || lower == std::string(ours) + "s")
        return Status(StatusCode::invalid_argument, "has no effect here: principals, sources, attributes, published_from and published_until stand inside \"wenqu\"", name);
  }
  const auto says_something = [&](const char* name) {
    const Value* value = message.find(name);
    return value && !(value->IsString() && value->GetStringLength() == 0);
  };
  if (says_something("conversation"))
    return Status(StatusCode::unsupported, "conversations have no names here: give previous_response_id, the response that this goes on from", "conversation");
  if (says_something("instructions"))
    return Status(StatusCode::unsupported, "instructions are not followed: put what matters into the question", "instructions");
  return {};
}

Status read_stream_id(const Members& message, std::string& into) {
  WENQU_RETURN_IF_ERROR(message.text("stream_id", into));
  if (into.size() > kMostOfStreamId) return wrong("stream_id", fmt::format("at most {} bytes", kMostOfStreamId));
  return {};
}

Status read_create(const Members& message, ClientMessage& out) {
  assistant::AskRequest& request = out.request;
  WENQU_RETURN_IF_ERROR(read_input(message, request));
  WENQU_RETURN_IF_ERROR(message.text("previous_response_id", request.previous_response_id));
  WENQU_RETURN_IF_ERROR(read_stream_id(message, out.stream_id));
  WENQU_RETURN_IF_ERROR(check_places(message));
  WENQU_RETURN_IF_ERROR(message.count("max_output_tokens", request.max_answer_tokens));
  WENQU_RETURN_IF_ERROR(message.real("temperature", request.temperature));
  WENQU_RETURN_IF_ERROR(message.real("top_p", request.top_p));

  WENQU_ASSIGN_OR_RETURN(const std::optional<Members> reasoning, message.object("reasoning"));
  if (reasoning) {
    std::string effort;
    WENQU_RETURN_IF_ERROR(reasoning->text("effort", effort));
    if (!effort.empty() && effort != "none" && effort != "minimal" && effort != "low" && effort != "medium" &&
        effort != "high" && effort != "xhigh")
      return wrong("reasoning.effort", "one of none, minimal, low, medium, high, xhigh");
    if (!effort.empty() && effort != "none" && effort != "minimal") request.mode = assistant::Mode::deep;
    WENQU_RETURN_IF_ERROR(reasoning->count("max_tokens", request.max_thinking_tokens));
  }
  if (const Value* include = message.find("include")) {
    if (!include->IsArray()) return wrong("include", "a list of strings");
    for (const Value& what : include->GetArray())
      if (what.IsString() && std::string_view(what.GetString()) == "wenqu.progress") request.report_progress = true;
  }
  if (const Value* tools = message.find("tools")) {
    if (!tools->IsArray()) return wrong("tools", "a list");
    for (const Value& tool : tools->GetArray()) {
      if (!tool.IsObject()) return wrong("tools[]", "an object");
      const Members members(tool, "tools[].");
      std::string type;
      WENQU_RETURN_IF_ERROR(members.text("type", type));
      if (type != "file_search")
        return Status(StatusCode::unsupported, "the only tool is \"file_search\"", "tools[].type");
      if (members.find("filters"))
        return Status(StatusCode::unsupported, "are not taken: \"wenqu\" has attributes, published_from and published_until", "tools[].filters");
      WENQU_RETURN_IF_ERROR(members.count("max_num_results", request.passages));
    }
  }
  WENQU_ASSIGN_OR_RETURN(const std::optional<Members> ours, message.object("wenqu"));
  if (ours) {
    const std::string other = ours->other_than({"mode", "sources", "published_from", "published_until", "attributes", "principals", "max_rounds",
                                                "max_prompt_tokens", "seed", "time_limit_seconds", "metadata"});
    if (!other.empty()) return Status(StatusCode::invalid_argument, "is no member of \"wenqu\": docs/protocol.md lists them", "wenqu." + other);
    std::string mode;
    WENQU_RETURN_IF_ERROR(ours->text("mode", mode));
    if (mode == "deep")
      request.mode = assistant::Mode::deep;
    else if (mode == "quick")
      request.mode = assistant::Mode::quick;
    else if (!mode.empty())
      return wrong("wenqu.mode", "\"quick\" or \"deep\"");
    WENQU_RETURN_IF_ERROR(ours->text("metadata", request.metadata));
    if (request.metadata.size() > 4096) return wrong("wenqu.metadata", "at most 4096 bytes");
    WENQU_RETURN_IF_ERROR(ours->count("max_rounds", request.max_rounds));
    WENQU_RETURN_IF_ERROR(ours->count("max_prompt_tokens", request.max_prompt_tokens));
    WENQU_RETURN_IF_ERROR(ours->count("seed", request.seed));
    WENQU_RETURN_IF_ERROR(ours->real("time_limit_seconds", request.time_limit_seconds));
    WENQU_RETURN_IF_ERROR(read_filter(*ours, request));
  }
  // Its fields by the names that they have here.
  const Status valid = validate(request);
  for (const auto& [field, member] : {std::pair("question", "input"), std::pair("history", "input"), std::pair("passages", "tools[].max_num_results"), std::pair("max_rounds", "wenqu.max_rounds"),
                                      std::pair("max_prompt_tokens", "wenqu.max_prompt_tokens"), std::pair("max_thinking_tokens", "reasoning.max_tokens"),
                                      std::pair("max_answer_tokens", "max_output_tokens"), std::pair("time_limit_seconds", "wenqu.time_limit_seconds"),
                                      std::pair("published_from", "wenqu.published_from"), std::pair("published_until", "wenqu.published_until")})
    if (valid.where() == field) return Status(valid.code(), valid.message(), member);
  return valid;
}

Status parse_json(std::string_view json, rapidjson::Document& document) {
  if (json_is_deeper(json, kMaxDepth))
    return Status(StatusCode::limit_exceeded, fmt::format("the message is nested deeper than {} levels", kMaxDepth));
  document.Parse<rapidjson::kParseValidateEncodingFlag | rapidjson::kParseIterativeFlag>(json.data(), json.size());
  if (document.HasParseError())
    return Status(StatusCode::invalid_argument, fmt::format("not valid JSON at byte {}: {}", document.GetErrorOffset(),
                                                            rapidjson::GetParseError_En(document.GetParseError())));
  return {};
}

// Parses an object into `document`.
Status parse_object(std::string_view json, rapidjson::Document& document) {
  WENQU_RETURN_IF_ERROR(parse_json(json, document));
  if (!document.IsObject()) return Status(StatusCode::invalid_argument, "the message is not a JSON object");
  return {};
}

}  // namespace

Result<ClientMessage> parse_client_message(std::string_view json, std::string* stream_id) {
  rapidjson::Document document;
  WENQU_RETURN_IF_ERROR(parse_object(json, document));
  const Members message(document, "");
  if (const Value* id = message.find("stream_id"); stream_id && id && id->IsString() && id->GetStringLength() <= kMostOfStreamId)
    stream_id->assign(id->GetString(), id->GetStringLength());
  ClientMessage out;
  std::string type;
  WENQU_RETURN_IF_ERROR(message.text("type", type));
  if (type == "response.create") {
    WENQU_RETURN_IF_ERROR(read_create(message, out));
    return out;
  }
  if (type == "response.cancel") {
    out.kind = ClientMessage::Kind::cancel;
    WENQU_RETURN_IF_ERROR(message.text("response_id", out.response_id));
    WENQU_RETURN_IF_ERROR(read_stream_id(message, out.stream_id));
    if (out.response_id.empty() && !message.find("stream_id"))
      return Status(StatusCode::invalid_argument, "is missing: say which response to cancel, or with stream_id all of a stream", "response_id");
    return out;
  }
  return Status(StatusCode::invalid_argument, "must be \"response.create\" or \"response.cancel\"", "type");
}

Status parse_filter(std::string_view json, assistant::AskRequest& request) {
  rapidjson::Document document;
  WENQU_RETURN_IF_ERROR(parse_object(json, document));
  const Members members(document, "");
  // A misspelt one would let through what it is there to keep back.
  const std::string other = members.other_than({"sources", "published_from", "published_until", "attributes", "principals"});
  if (!other.empty())
    return Status(StatusCode::invalid_argument, "is no member of a filter: sources, published_from, published_until, attributes and principals are", other);
  return read_filter(members, request);
}

Status parse_history(std::string_view json, assistant::AskRequest& request) {
  rapidjson::Document document;
  WENQU_RETURN_IF_ERROR(parse_json(json, document));
  if (!document.IsArray()) return Status(StatusCode::invalid_argument, "is not a list of messages");
  std::vector<Message> messages;
  WENQU_RETURN_IF_ERROR(read_messages(document, "", messages));
  request.history = as_exchanges(messages);
  return {};
}

}  // namespace wenqu::protocol
