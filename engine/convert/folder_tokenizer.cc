// What a folder says around its tokenizer: beginnings and ends of text, the chat template.
#include <fmt/format.h>

#include <filesystem>

#include "base/mapped_file.h"
#include "base/utf8.h"
#include "engine/convert/hf_tokenizer.h"
#include "engine/tokenizer/pre_tokenizer.h"

namespace wenqu::engine::convert {
namespace {

constexpr size_t kMaxTemplate = 1 << 20;

bool exists(const std::string& path) {
  std::error_code error;
  return std::filesystem::exists(path, error);
}

// A JSON file that may be absent; an empty object then.
Result<std::shared_ptr<const rapidjson::Document>> read_if_any(const std::string& path) {
  return exists(path) ? read_json_object(path) : parse_json_object("{}", path);
}

// "bos_token": a text, or an object with its content.
std::string token_text(const Object& config, std::string_view name) {
  const Json* value = config.find(name);
  if (value && value->IsObject()) {
    const auto content = value->FindMember("content");
    value = content == value->MemberEnd() ? nullptr : &content->value;
  }
  return value && value->IsString() ? std::string(text_of(*value)) : std::string();
}

// "eos_token_id": a number or a list of them.
Status append_ids(const Object& config, std::string_view name, uint64_t tokens, std::vector<uint32_t>& ids) {
  const Json* value = config.find(name);
  if (!value) return {};
  const auto append = [&](const Json& id) -> Status {
    if (!id.IsUint64() || id.GetUint64() >= tokens) return config.wrong(name, fmt::format("is no id below {}", tokens));
    ids.push_back(static_cast<uint32_t>(id.GetUint64()));
    return {};
  };
  if (!value->IsArray()) return append(*value);
  for (const Json& id : value->GetArray()) WENQU_RETURN_IF_ERROR(append(id));
  return {};
}

// The ids for "bos" or "eos", that of the tokenizer's own configuration first.
Result<std::vector<uint32_t>> find_ids(const HfTokenizer& tokenizer, const std::string& which, const Object& tokenizer_config,
                                       const Object& generation, const Object& config) {
  std::vector<uint32_t> ids;
  const std::string text = token_text(tokenizer_config, which + "_token");
  if (const int64_t id = text.empty() ? -1 : tokenizer.added(text); id >= 0) ids.push_back(static_cast<uint32_t>(id));
  WENQU_RETURN_IF_ERROR(append_ids(generation, which + "_token_id", tokenizer.tokens.size(), ids));
  WENQU_RETURN_IF_ERROR(append_ids(config, which + "_token_id", tokenizer.tokens.size(), ids));
  return ids;
}

// A file of its own stands for what the configuration says, as transformers has it.
Status write_template(const std::string& folder, const Object& config, gguf::Writer& writer) {
  if (const std::string path = folder + "/chat_template.jinja"; exists(path)) {
    WENQU_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::open(path));
    const std::string_view text(reinterpret_cast<const char*>(file.data().data()), file.size());
    if (text.size() > kMaxTemplate || !utf8_is_valid(text)) return Status(StatusCode::corrupt, "is too large or no text", path);
    writer.set_string("tokenizer.chat_template", text);
    return {};
  }
  const Json* value = config.find("chat_template");
  if (value && value->IsArray()) {   // several with names: the default one, or the first
    const Json* chosen = nullptr;
    for (const Json& item : value->GetArray()) {
      if (!item.IsObject() || !item.HasMember("template")) continue;
      if (!chosen || token_text(Object(item, ""), "name") == "default") chosen = &item["template"];
    }
    value = chosen;
  }
  if (value && value->IsString()) writer.set_string("tokenizer.chat_template", text_of(*value));
  return {};
}

Result<HfTokenizer> read(const std::string& folder, const Object& tokenizer_config, uint64_t rows, const std::string& pre) {
  const std::string path = folder + "/tokenizer.json", tiktoken = folder + "/tiktoken.model";
  if (!exists(path) && exists(tiktoken)) {
    WENQU_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::open(tiktoken));
    return read_tiktoken({reinterpret_cast<const char*>(file.data().data()), file.size()}, tokenizer_config, tiktoken, rows, pre);
  }
  WENQU_ASSIGN_OR_RETURN(const std::shared_ptr<const rapidjson::Document> json, read_json_object(path));
  return read_tokenizer_json(Object(*json, path), rows, pre);
}

}  // namespace

Status write_tokenizer(const std::string& folder, const Object& config, uint64_t rows, const std::string& pre, gguf::Writer& writer) {
  if (!pre.empty() && !find_pre_tokenizer(pre))
    return Status(StatusCode::invalid_argument, fmt::format("'{}' is none of deepseek-coder, deepseek-llm, deepseek-v3, kimi-k2, llama-bpe, qwen2", pre),
                  "--pre-tokenizer");
  const std::string config_path = folder + "/tokenizer_config.json", generation_path = folder + "/generation_config.json";
  WENQU_ASSIGN_OR_RETURN(const auto tokenizer_json, read_if_any(config_path));
  WENQU_ASSIGN_OR_RETURN(const auto generation_json, read_if_any(generation_path));
  const Object tokenizer_config(*tokenizer_json, config_path), generation(*generation_json, generation_path);
  WENQU_ASSIGN_OR_RETURN(const HfTokenizer tokenizer, read(folder, tokenizer_config, rows, pre));
  WENQU_ASSIGN_OR_RETURN(const std::vector<uint32_t> bos, find_ids(tokenizer, "bos", tokenizer_config, generation, config));
  WENQU_ASSIGN_OR_RETURN(const std::vector<uint32_t> eos, find_ids(tokenizer, "eos", tokenizer_config, generation, config));

  writer.set_string("tokenizer.ggml.model", "gpt2");
  writer.set_string("tokenizer.ggml.pre", tokenizer.pre);
  writer.set_strings("tokenizer.ggml.tokens", tokenizer.tokens);
  writer.set_ints("tokenizer.ggml.token_type", tokenizer.kinds);
  writer.set_strings("tokenizer.ggml.merges", tokenizer.merges);
  if (!bos.empty()) writer.set_uint("tokenizer.ggml.bos_token_id", bos[0]);
  if (!eos.empty()) writer.set_uint("tokenizer.ggml.eos_token_id", eos[0]);
  for (const uint32_t id : eos)   // a turn may end with another token than a text
    if (id != eos[0]) {
      writer.set_uint("tokenizer.ggml.eot_token_id", id);
      break;
    }
  bool add_bos = tokenizer.begins_with_bos;
  WENQU_RETURN_IF_ERROR(tokenizer_config.may_flag("add_bos_token", add_bos));
  writer.set_bool("tokenizer.ggml.add_bos_token", add_bos && !bos.empty());
  return write_template(folder, tokenizer_config, writer);
}

}  // namespace wenqu::engine::convert
