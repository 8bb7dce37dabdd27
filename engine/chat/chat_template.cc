#include "engine/chat/chat_template.h"

#include <fmt/format.h>

#include "engine/gguf/file.h"
#include "engine/tokenizer/tokenizer.h"

namespace wenqu::engine {
namespace {

using Role = ChatMessage::Role;

struct Name {
  ChatTemplate chat;
  std::string_view name;
};
constexpr Name kNames[] = {
    {ChatTemplate::deepseek_v2, "deepseek-v2"}, {ChatTemplate::deepseek_v3, "deepseek-v3"},
    {ChatTemplate::deepseek_r1, "deepseek-r1"}, {ChatTemplate::deepseek_v31, "deepseek-v3.1"},
    {ChatTemplate::chatml, "chatml"},           {ChatTemplate::qwen25, "qwen2.5"},
    {ChatTemplate::qwen3, "qwen3"},             {ChatTemplate::qwen3_thinking, "qwen3-thinking"},
    {ChatTemplate::qwen35, "qwen3.5"},          {ChatTemplate::llama3, "llama3"},
    {ChatTemplate::kimi, "kimi"},               {ChatTemplate::kimi_thinking, "kimi-thinking"},
};

// The bars are U+FF5C and the low lines U+2581: not the ASCII ones.
constexpr std::string_view kBegin = "<｜begin▁of▁sentence｜>", kEnd = "<｜end▁of▁sentence｜>", kUser = "<｜User｜>",
                           kAssistant = "<｜Assistant｜>";

constexpr std::string_view kOpenThought = "<think>", kCloseThought = "</think>";

// What Qwen2.5 is told when there is no system message.
constexpr std::string_view kQwen25System = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.";

// What an assistant said behind its thinking, as it stands. V3.1's template cuts behind the first </think>, all
// others behind the last.
std::string_view without_thinking(std::string_view text, bool first = false) {
  const size_t close = first ? text.find(kCloseThought) : text.rfind(kCloseThought);
  return close == text.npos ? text : text.substr(close + kCloseThought.size());
}

// Without the characters of `what` in front. Qwen's templates take away the line breaks behind the thinking,
// DeepSeek's and Kimi's do not.
std::string_view stripped(std::string_view text, std::string_view what) {
  const size_t begin = text.find_first_not_of(what);
  return begin == text.npos ? std::string_view() : text.substr(begin);
}

class Renderer {
 public:
  void control(std::string_view literal) {
    if (!literal.empty()) pieces_.push_back(Piece::control(std::string(literal)));
  }
  void text(std::string_view text) {
    if (!text.empty()) pieces_.push_back(Piece::plain(std::string(text)));
  }
  RenderedChat take(bool starts_in_thinking) { return {std::move(pieces_), starts_in_thinking}; }

 private:
  std::vector<Piece> pieces_;
};

RenderedChat render_deepseek_v2(std::span<const ChatMessage> messages) {
  Renderer out;
  out.control(kBegin);
  for (const ChatMessage& message : messages) {
    switch (message.role) {
      case Role::system: out.text(message.text), out.control("\n\n"); break;
      case Role::user: out.control("User: "), out.text(message.text), out.control("\n\n"); break;
      case Role::assistant: out.control("Assistant: "), out.text(message.text), out.control(kEnd); break;
    }
  }
  out.control("Assistant:");
  return out.take(false);
}

RenderedChat render_deepseek(ChatTemplate chat, std::span<const ChatMessage> messages, bool think) {
  Renderer out;
  out.control(kBegin);
  bool first_system = true;
  for (const ChatMessage& message : messages)
    if (message.role == Role::system) {
      if (!first_system) out.control("\n\n");
      first_system = false;
      out.text(message.text);
    }
  const bool v31 = chat == ChatTemplate::deepseek_v31;
  bool after_user = true;
  for (const ChatMessage& message : messages) {
    if (message.role == Role::user) {
      out.control(kUser);
      out.text(message.text);
      after_user = true;
    } else if (message.role == Role::assistant) {
      // In V3.1 what follows an answer without a question between them goes on with it.
      if (after_user || !v31) out.control(kAssistant);
      if (after_user && v31) out.control(kCloseThought);
      out.text(without_thinking(message.text, v31));
      out.control(kEnd);
      after_user = false;
    }
  }
  out.control(kAssistant);
  if (chat == ChatTemplate::deepseek_v3) return out.take(false);
  if (v31) out.control(think ? kOpenThought : kCloseThought);
  else out.control("<think>\n");
  return out.take(!v31 || think);
}

RenderedChat render_chatml(ChatTemplate chat, std::span<const ChatMessage> messages, bool think) {
  Renderer out;
  if (chat == ChatTemplate::qwen25 && (messages.empty() || messages.front().role != Role::system))
    out.control(fmt::format("<|im_start|>system\n{}<|im_end|>\n", kQwen25System));
  for (const ChatMessage& message : messages) {
    const char* role = message.role == Role::system ? "system" : message.role == Role::user ? "user" : "assistant";
    out.control(fmt::format("<|im_start|>{}\n", role));
    const bool thought = message.role == Role::assistant && message.text.find(kCloseThought) != std::string::npos;
    out.text(thought ? stripped(without_thinking(message.text), "\n") : std::string_view(message.text));
    out.control("<|im_end|>\n");
  }
  out.control("<|im_start|>assistant\n");
  const bool opens = chat == ChatTemplate::qwen3_thinking || (chat == ChatTemplate::qwen35 && think);
  if (opens) out.control("<think>\n");
  else if (chat == ChatTemplate::qwen35 || (chat == ChatTemplate::qwen3 && !think)) out.control("<think>\n\n</think>\n\n");
  return out.take(opens);
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const size_t begin = text.find_first_not_of(kSpace);
  if (begin == text.npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

RenderedChat render_llama3(std::span<const ChatMessage> messages) {
  Renderer out;
  const auto header = [&](std::string_view role) {
    out.control(fmt::format("<|start_header_id|>{}<|end_header_id|>\n\n", role));
  };
  out.control("<|begin_of_text|>");
  for (const ChatMessage& message : messages) {
    header(message.role == Role::system ? "system" : message.role == Role::user ? "user" : "assistant");
    out.text(trimmed(message.role == Role::assistant ? without_thinking(message.text) : std::string_view(message.text)));
    out.control("<|eot_id|>");
  }
  header("assistant");
  return out.take(false);
}

RenderedChat render_kimi(ChatTemplate chat, std::span<const ChatMessage> messages) {
  Renderer out;
  const bool thinking = chat == ChatTemplate::kimi_thinking;
  if (messages.empty() || messages.front().role != Role::system)
    out.control(fmt::format("<|im_system|>system<|im_middle|>{}<|im_end|>",
                            thinking ? "You are Kimi, an AI assistant created by Moonshot AI." : "You are a helpful assistant"));
  for (const ChatMessage& message : messages) {
    switch (message.role) {
      case Role::system: out.control("<|im_system|>system<|im_middle|>"); break;
      case Role::user: out.control("<|im_user|>user<|im_middle|>"); break;
      case Role::assistant: out.control("<|im_assistant|>assistant<|im_middle|>"); break;
    }
    if (message.role == Role::assistant && thinking) out.control("<think></think>");
    out.text(message.role == Role::assistant ? without_thinking(message.text) : std::string_view(message.text));
    out.control("<|im_end|>");
  }
  out.control("<|im_assistant|>assistant<|im_middle|>");
  return out.take(false);
}

// The part of a template that makes the end of the prompt, where it has one that can be told.
std::string_view prompt_end(std::string_view text) {
  constexpr std::string_view kMark = "if add_generation_prompt";
  const size_t mark = text.rfind(kMark);
  return mark == text.npos ? std::string_view() : text.substr(mark);
}

std::optional<ChatTemplate> by_template_text(std::string_view text) {
  const auto has = [&](std::string_view mark) { return text.find(mark) != text.npos; };
  const std::string_view end = prompt_end(text);
  const bool closes = end.find(kCloseThought) != end.npos;
  if (has(kAssistant)) {
    // V3.1 lets the prompt end with either mark, by its mode; R1 cuts thinking out of earlier answers, and most of
    // its templates open it; V3 knows no thought.
    if (closes || has("<｜Assistant｜></think>")) return ChatTemplate::deepseek_v31;
    return has(kOpenThought) || has(kCloseThought) ? ChatTemplate::deepseek_r1 : ChatTemplate::deepseek_v3;
  }
  if (has("<|im_middle|>")) return has(kOpenThought) ? ChatTemplate::kimi_thinking : ChatTemplate::kimi;
  if (has("<|start_header_id|>")) return ChatTemplate::llama3;
  if (has("<|im_start|>")) {
    // In a template's text a line break is mostly written "\n". Only a mark that is not closed at once opens a thought.
    bool opens = false;
    for (size_t at = end.find(kOpenThought); at != end.npos; at = end.find(kOpenThought, at + 1))
      opens = opens || !stripped(end.substr(at + kOpenThought.size()), "\\n\n").starts_with(kCloseThought);
    if (closes) return opens ? ChatTemplate::qwen35 : ChatTemplate::qwen3;
    if (opens) return ChatTemplate::qwen3_thinking;
    return has(kQwen25System) ? ChatTemplate::qwen25 : ChatTemplate::chatml;
  }
  if (has("User: ") && has("Assistant:")) return ChatTemplate::deepseek_v2;
  return std::nullopt;
}

// For files that carry no template: what their control tokens are for.
std::optional<ChatTemplate> by_tokens(std::string_view architecture, const Tokenizer& tokenizer) {
  const bool thinks = tokenizer.find("<think>") && tokenizer.find("</think>");
  if (tokenizer.find(kUser) && tokenizer.find(kAssistant))
    return thinks ? ChatTemplate::deepseek_r1 : ChatTemplate::deepseek_v3;
  if (tokenizer.find("<|im_middle|>")) return ChatTemplate::kimi;
  if (tokenizer.find("<|start_header_id|>")) return ChatTemplate::llama3;
  if (tokenizer.find("<|im_start|>")) {
    if (architecture.starts_with("qwen3")) return ChatTemplate::qwen3;
    return architecture == "qwen2" ? ChatTemplate::qwen25 : ChatTemplate::chatml;
  }
  if (architecture == "deepseek2") return ChatTemplate::deepseek_v2;
  return std::nullopt;
}

}  // namespace

std::string_view chat_template_name(ChatTemplate chat) {
  for (const Name& known : kNames)
    if (known.chat == chat) return known.name;
  return "unknown";
}

std::optional<ChatTemplate> parse_chat_template(std::string_view name) {
  for (const Name& known : kNames)
    if (known.name == name) return known.chat;
  return std::nullopt;
}

Result<ChatTemplate> detect_chat_template(const gguf::File& file, const Tokenizer& tokenizer) {
  const auto text = file.get_string("tokenizer.chat_template");
  const auto chat = text ? by_template_text(*text)
                         : by_tokens(file.get_string("general.architecture").value_or(""), tokenizer);
  if (chat) return *chat;
  std::string names;
  for (const Name& known : kNames) names += (names.empty() ? "" : ", ") + std::string(known.name);
  return Status(StatusCode::unsupported,
                fmt::format("the model's chat template is not known: name the one it follows (--chat-template), one of {}", names),
                "metadata key 'tokenizer.chat_template'");
}

Status check_chat_marks(ChatTemplate chat, const Tokenizer& tokenizer) {
  const ChatMessage messages[] = {{Role::system, "x"}, {Role::user, "x"}, {Role::assistant, "x"}, {Role::user, "x"}};
  for (const bool think : {false, true})
    for (const Piece& piece : render_chat(chat, messages, think).pieces) {
      if (piece.kind != Piece::Kind::control) continue;
      const std::string_view text = piece.text;
      for (size_t begin = text.find('<'); begin != text.npos; begin = text.find('<', begin + 1)) {
        const std::string_view mark = text.substr(begin, text.find('>', begin) - begin + 1);
        if (mark == kOpenThought || mark == kCloseThought) continue;   // text to models that were tuned to think: nobody speaks as another by it
        const std::vector<TokenId> ids = tokenizer.encode_control(mark);
        if (ids.size() == 1 && ids != tokenizer.encode(mark)) continue;
        return Status(StatusCode::unsupported,
                      fmt::format("the chat template '{}' writes '{}', which is no control token of this model: name the template that the model "
                                  "follows (--chat-template), or convert it anew if its file has lost the kinds of its tokens",
                                  chat_template_name(chat), mark),
                      "metadata key 'tokenizer.ggml.token_type'");
      }
    }
  return {};
}

RenderedChat render_chat(ChatTemplate chat, std::span<const ChatMessage> messages, bool think) {
  switch (chat) {
    case ChatTemplate::deepseek_v2: return render_deepseek_v2(messages);
    case ChatTemplate::deepseek_v3:
    case ChatTemplate::deepseek_r1:
    case ChatTemplate::deepseek_v31: return render_deepseek(chat, messages, think);
    case ChatTemplate::chatml:
    case ChatTemplate::qwen25:
    case ChatTemplate::qwen3:
    case ChatTemplate::qwen3_thinking:
    case ChatTemplate::qwen35: return render_chatml(chat, messages, think);
    case ChatTemplate::llama3: return render_llama3(messages);
    case ChatTemplate::kimi:
    case ChatTemplate::kimi_thinking: return render_kimi(chat, messages);
  }
  return {};
}

bool chat_template_thinks(ChatTemplate chat) {
  switch (chat) {
    case ChatTemplate::deepseek_r1:
    case ChatTemplate::deepseek_v31:
    case ChatTemplate::qwen3:
    case ChatTemplate::qwen3_thinking:
    case ChatTemplate::qwen35:
    case ChatTemplate::kimi_thinking: return true;
    default: return false;
  }
}

}  // namespace wenqu::engine
