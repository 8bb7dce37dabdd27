#include "engine/convert/hf_tokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "engine/tokenizer/pre_tokenizer.h"

namespace wenqu::engine::convert {
namespace {

constexpr int32_t kNormal = 1, kControl = 3, kUserDefined = 4, kUnused = 5;

// Patterns as they are written in the models' tokenizer.json; line breaks may stand there as themselves.
constexpr std::string_view kGpt4Words = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|";
constexpr std::string_view kGpt4Rest = "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
constexpr std::string_view kV3Rest =
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|"
    "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
// Kimi's words: with a capital at most at the beginning, Han characters apart.
constexpr std::string_view kKimi =
    "[\\p{Han}]+|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}&&[^\\p{Han}]]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}&&[^\\p{Han}]]+"
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}&&[^\\p{Han}]]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}&&"
    "[^\\p{Han}]]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\\p{N}{1,3}";
// DeepSeek LLM's letters are a list of some hundred ranges: its beginning tells it apart.
constexpr std::string_view kLlmLetters = "\\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳ";

std::string escaped_breaks(std::string_view pattern) {
  std::string out;
  for (const char c : pattern) {
    if (c == '\r') out += "\\r";
    else if (c == '\n') out += "\\n";
    else out += c;
  }
  return out;
}

// The patterns of all splits in order; Digits is a split, too. Anything else that cuts or changes text is named.
Status collect_patterns(const Object& step, std::vector<std::string>& patterns) {
  std::string type;
  WENQU_RETURN_IF_ERROR(step.may_text("type", type));
  if (type == "Sequence") {
    const Json* steps = step.find("pretokenizers");
    if (!steps || !steps->IsArray()) return step.wrong("pretokenizers", "is no list");
    for (const Json& inner : steps->GetArray()) {
      if (!inner.IsObject()) return step.wrong("pretokenizers", "holds what is no object");
      WENQU_RETURN_IF_ERROR(collect_patterns(Object(inner, step.place() + ": pretokenizers"), patterns));
    }
  } else if (type == "Split") {
    WENQU_ASSIGN_OR_RETURN(const std::optional<Object> pattern, step.object("pattern"));
    std::string text;
    if (pattern) WENQU_RETURN_IF_ERROR(pattern->may_text("Regex", text));
    patterns.push_back(escaped_breaks(text));
  } else if (type == "Digits") {
    bool single = false;
    WENQU_RETURN_IF_ERROR(step.may_flag("individual_digits", single));
    patterns.emplace_back(single ? "\\p{N}" : "\\p{N}+");
  } else if (type == "ByteLevel") {
    bool prefix = false, own = true;
    WENQU_RETURN_IF_ERROR(step.may_flag("add_prefix_space", prefix));
    WENQU_RETURN_IF_ERROR(step.may_flag("use_regex", own));
    if (prefix) return step.unsupported("add_prefix_space", "a space before the text is not supported");
    if (own && patterns.empty()) patterns.emplace_back("(ByteLevel's own)");
  } else {
    patterns.push_back(fmt::format("({})", type));
  }
  return {};
}

Result<std::string> find_pre(const Object& json, const std::string& given) {
  std::vector<std::string> patterns;
  WENQU_ASSIGN_OR_RETURN(const std::optional<Object> steps, json.object("pre_tokenizer"));
  if (steps) WENQU_RETURN_IF_ERROR(collect_patterns(*steps, patterns));
  if (!given.empty()) return given;
  const std::string_view name = recognise_pre_tokenizer(patterns);
  if (!name.empty()) return std::string(name);
  return json.unsupported("pre_tokenizer",
                          fmt::format("is not recognised; if it does what one of deepseek-coder, deepseek-llm, deepseek-v3, kimi-k2, "
                                      "llama-bpe and qwen2 does, name that with --pre-tokenizer. It is: {}",
                                      fmt::join(patterns, "  then  ")));
}

// What changes a text before it is cut. NFC, which Qwen's tokenizers begin with, is not applied: it leaves nearly all texts as
// they are, and other programs that read such files do not apply it either.
Status check_normalizer(const Object& normalizer) {
  std::string type;
  WENQU_RETURN_IF_ERROR(normalizer.may_text("type", type));
  if (type == "NFC") return {};
  if (type != "Sequence")
    return normalizer.unsupported("type", fmt::format("'{}' is not supported: text that it changes would become other tokens; none and NFC are", type));
  const Json* steps = normalizer.find("normalizers");
  if (!steps) return {};
  if (!steps->IsArray()) return normalizer.wrong("normalizers", "is no list");
  for (const Json& inner : steps->GetArray()) {
    if (!inner.IsObject()) return normalizer.wrong("normalizers", "holds what is no object");
    WENQU_RETURN_IF_ERROR(check_normalizer(Object(inner, normalizer.place() + ": normalizers")));
  }
  return {};
}

// Llama 3's words that are tokens are taken as they stand, those of the others never. Its first files do not say so.
Status check_ignore_merges(const Object& model, const std::string& pre) {
  const bool llama = pre == "llama-bpe";
  bool ignores = llama;
  WENQU_RETURN_IF_ERROR(model.may_flag("ignore_merges", ignores));
  if (ignores == llama) return {};
  return model.unsupported("ignore_merges", fmt::format("is {}, but with the pre-tokenizer {} words that are tokens are {}: name the pre-tokenizer (--pre-tokenizer) to have it so",
                                                        ignores, pre, llama ? "taken as they stand" : "always merged"));
}

Status read_vocabulary(const Object& model, uint64_t rows, HfTokenizer& out) {
  WENQU_ASSIGN_OR_RETURN(const std::optional<Object> words, model.object("vocab"));
  if (!words) return model.wrong("vocab", "is missing");
  for (const auto& member : words->value().GetObject()) {
    if (!member.value.IsUint64() || member.value.GetUint64() >= rows)
      return words->wrong(text_of(member.name), fmt::format("has no id below {}, the rows of the embedding", rows));
    const uint64_t id = member.value.GetUint64();
    if (id >= out.tokens.size()) out.tokens.resize(id + 1), out.kinds.resize(id + 1, kUnused);
    if (out.kinds[id] != kUnused) return words->wrong(text_of(member.name), fmt::format("has the id {}, which is another token's, too", id));
    out.tokens[id] = text_of(member.name), out.kinds[id] = kNormal;
  }
  return {};
}

Status read_merges(const Object& model, HfTokenizer& out) {
  const Json* merges = model.find("merges");
  if (!merges || !merges->IsArray()) return model.wrong("merges", "is missing, or no list");
  for (const Json& merge : merges->GetArray()) {
    if (merge.IsString()) {
      out.merges.emplace_back(text_of(merge));
    } else if (merge.IsArray() && merge.Size() == 2 && merge[0].IsString() && merge[1].IsString()) {
      out.merges.push_back(fmt::format("{} {}", text_of(merge[0]), text_of(merge[1])));
    } else {
      return model.wrong("merges", fmt::format("number {} is no pair", out.merges.size()));
    }
  }
  return {};
}

Status read_added(const Object& json, uint64_t rows, HfTokenizer& out) {
  const Json* added = json.find("added_tokens");
  if (!added) return {};
  if (!added->IsArray()) return json.wrong("added_tokens", "is no list");
  for (const Json& item : added->GetArray()) {
    if (!item.IsObject()) return json.wrong("added_tokens", "holds what is no object");
    const Object token(item, json.place() + ": added_tokens");
    uint64_t id = 0;
    std::string text;
    bool special = false;
    WENQU_RETURN_IF_ERROR(token.need_count("id", 0, rows - 1, id));
    WENQU_RETURN_IF_ERROR(token.may_text("content", text));
    WENQU_RETURN_IF_ERROR(token.may_flag("special", special));
    if (id >= out.tokens.size()) out.tokens.resize(id + 1), out.kinds.resize(id + 1, kUnused);
    out.tokens[id] = text, out.kinds[id] = special ? kControl : kUserDefined;
  }
  return {};
}

// Whether a post-processor's template for one text begins with a special token.
bool begins_with_token(const Json& processor) {
  if (!processor.IsObject()) return false;
  const Object object(processor, "");
  if (const Json* inner = object.find("processors"); inner && inner->IsArray())
    return std::any_of(inner->Begin(), inner->End(), begins_with_token);
  const Json* single = object.find("single");
  return single && single->IsArray() && !single->Empty() && (*single)[0].IsObject() && (*single)[0].HasMember("SpecialToken");
}

}  // namespace

int64_t HfTokenizer::added(std::string_view text) const {
  for (size_t i = 0; i < tokens.size(); ++i)
    if ((kinds[i] == kControl || kinds[i] == kUserDefined) && tokens[i] == text) return static_cast<int64_t>(i);
  return -1;
}

std::string_view recognise_pre_tokenizer(const std::vector<std::string>& patterns) {
  const std::string gpt4(kGpt4Words), rest(kGpt4Rest);
  const std::vector<std::string> qwen2 = {gpt4 + "\\p{N}" + rest}, llama = {gpt4 + "\\p{N}{1,3}" + rest};
  const std::vector<std::string> v3 = {"\\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+", std::string(kV3Rest)};
  const std::vector<std::string> coder = {"[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", "[一-龥ࠀ-一가-퟿]+", "\\p{N}"};
  if (patterns == qwen2) return "qwen2";
  if (patterns == llama) return "llama-bpe";
  if (patterns == v3) return "deepseek-v3";
  if (patterns == std::vector<std::string>{std::string(kKimi) + rest}) return "kimi-k2";
  if (patterns == coder) return "deepseek-coder";
  const bool llm = patterns.size() == 6 && patterns[0] == "[\\r\\n]" && patterns[1].starts_with(kLlmLetters) &&
                   patterns[2] == "\\s?[!-/:-~！-／：-～‘-‟　-。]+" && patterns[3] == "\\s+$" && patterns[4] == "[一-龥ࠀ-一가-퟿]+" &&
                   patterns[5].starts_with("\\p{N}");
  return llm ? "deepseek-llm" : "";
}

Result<HfTokenizer> read_tokenizer_json(const Object& json, uint64_t rows, const std::string& pre) {
  WENQU_ASSIGN_OR_RETURN(const std::optional<Object> model, json.object("model"));
  if (!model) return json.wrong("model", "is missing");
  std::string type = "BPE";
  bool byte_fallback = false;
  WENQU_RETURN_IF_ERROR(model->may_text("type", type));
  WENQU_RETURN_IF_ERROR(model->may_flag("byte_fallback", byte_fallback));
  if (type != "BPE" || byte_fallback)
    return model->unsupported("type", fmt::format("'{}'{} is not supported: byte-level BPE is", type, byte_fallback ? " with byte_fallback" : ""));
  HfTokenizer out;
  WENQU_ASSIGN_OR_RETURN(const std::optional<Object> normalizer, json.object("normalizer"));
  if (normalizer) WENQU_RETURN_IF_ERROR(check_normalizer(*normalizer));
  WENQU_ASSIGN_OR_RETURN(out.pre, find_pre(json, pre));
  if (pre.empty()) WENQU_RETURN_IF_ERROR(check_ignore_merges(*model, out.pre));   // who names one knows
  WENQU_RETURN_IF_ERROR(read_vocabulary(*model, rows, out));
  WENQU_RETURN_IF_ERROR(read_merges(*model, out));
  WENQU_RETURN_IF_ERROR(read_added(json, rows, out));
  for (size_t i = 0; i < out.tokens.size(); ++i)
    if (out.kinds[i] == kUnused) out.tokens[i] = fmt::format("[PAD{}]", i);
  const Json* processor = json.find("post_processor");
  out.begins_with_bos = processor && begins_with_token(*processor);
  return out;
}

}  // namespace wenqu::engine::convert
