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
    {ChatTemplate::chatml, "chatml"},           {ChatTemplate::qwen3, "qwen3"},
    {ChatTemplate::llama3, "llama3"},           {ChatTemplate::kimi, "kimi"},
};

// The bars are U+FF5C and the low lines U+2581: not the ASCII ones.
constexpr std::string_view kBegin = "<｜begin▁of▁sentence｜>", kEnd = "<｜end▁of▁sentence｜>", kUser = "<｜User｜>",
                           kAssistant = "<｜Assistant｜>";

// What an assistant said, without the thinking before it. R1's template cuts behind the last
// </think>, V3.1's behind the first.
std::string without_thinking(std::string_view text, bool first) {
  constexpr std::string_view kClose = "</think>";
  const size_t close = first ? text.find(kClose) : text.rfind(kClose);
  if (close == text.npos) return std::string(text);
  text.remove_prefix(close + kClose.size());
  const size_t begin = text.find_first_not_of("\r\n ");
  return std::string(begin == text.npos ? std::string_view() : text.substr(begin));
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
  for (const ChatMessage& message : messages) {
    if (message.role == Role::user) {
      out.control(kUser);
      out.text(message.text);
    } else if (message.role == Role::assistant) {
      out.control(kAssistant);
      if (v31) out.control("</think>");
      out.text(without_thinking(message.text, v31));
      out.control(kEnd);
    }
  }
  out.control(kAssistant);
  if (chat == ChatTemplate::deepseek_v3) return out.take(false);
  if (v31) out.control(think ? "<think>" : "</think>");
  else out.control("<think>\n");
  return out.take(!v31 || think);
}

RenderedChat render_chatml(ChatTemplate chat, std::span<const ChatMessage> messages, bool think) {
  Renderer out;
  const bool qwen3 = chat == ChatTemplate::qwen3;
  if (!qwen3 && (messages.empty() || messages.front().role != Role::system)) {
    out.control("<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n");
  }
  for (const ChatMessage& message : messages) {
    const char* role = message.role == Role::system ? "system" : message.role == Role::user ? "user" : "assistant";
    out.control(fmt::format("<|im_start|>{}\n", role));
    out.text(message.role == Role::assistant ? without_thinking(message.text, false) : message.text);
    out.control("<|im_end|>\n");
  }
  out.control("<|im_start|>assistant\n");
  if (qwen3 && !think) out.control("<think>\n\n</think>\n\n");
  return out.take(false);
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
    out.text(trimmed(message.role == Role::assistant ? without_thinking(message.text, false) : message.text));
    out.control("<|eot_id|>");
  }
  header("assistant");
  return out.take(false);
}

RenderedChat render_kimi(std::span<const ChatMessage> messages) {
  Renderer out;
  if (messages.empty() || messages.front().role != Role::system)
    out.control("<|im_system|>system<|im_middle|>You are a helpful assistant<|im_end|>");
  for (const ChatMessage& message : messages) {
    switch (message.role) {
      case Role::system: out.control("<|im_system|>system<|im_middle|>"); break;
      case Role::user: out.control("<|im_user|>user<|im_middle|>"); break;
      case Role::assistant: out.control("<|im_assistant|>assistant<|im_middle|>"); break;
    }
    out.text(message.role == Role::assistant ? without_thinking(message.text, false) : message.text);
    out.control("<|im_end|>");
  }
  out.control("<|im_assistant|>assistant<|im_middle|>");
  return out.take(false);
}

std::optional<ChatTemplate> by_template_text(std::string_view text) {
  const auto has = [&](std::string_view mark) { return text.find(mark) != text.npos; };
  if (has("<｜Assistant｜>")) {
    // V3.1 is told its mode by a variable; R1 opens the thought itself; V3 knows no thought.
    if (has("thinking")) return ChatTemplate::deepseek_v31;
    return has("<think>") || has("</think>") ? ChatTemplate::deepseek_r1 : ChatTemplate::deepseek_v3;
  }
  if (has("<|im_middle|>")) return ChatTemplate::kimi;
  if (has("<|start_header_id|>")) return ChatTemplate::llama3;
  if (has("<|im_start|>")) return has("</think>") ? ChatTemplate::qwen3 : ChatTemplate::chatml;
  if (has("'User: '") || has("User: ")) return ChatTemplate::deepseek_v2;
  return std::nullopt;
}

// For files that carry no template: what their control tokens are for.
std::optional<ChatTemplate> by_tokens(std::string_view architecture, const Tokenizer& tokenizer) {
  const bool thinks = tokenizer.find("<think>") && tokenizer.find("</think>");
  if (tokenizer.find(kUser) && tokenizer.find(kAssistant))
    return thinks ? ChatTemplate::deepseek_r1 : ChatTemplate::deepseek_v3;
  if (tokenizer.find("<|im_middle|>")) return ChatTemplate::kimi;
  if (tokenizer.find("<|start_header_id|>")) return ChatTemplate::llama3;
  if (tokenizer.find("<|im_start|>"))
    return architecture.starts_with("qwen3") ? ChatTemplate::qwen3 : ChatTemplate::chatml;
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
  if (name == "qwen2.5") return ChatTemplate::chatml;
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

RenderedChat render_chat(ChatTemplate chat, std::span<const ChatMessage> messages, bool think) {
  switch (chat) {
    case ChatTemplate::deepseek_v2: return render_deepseek_v2(messages);
    case ChatTemplate::deepseek_v3:
    case ChatTemplate::deepseek_r1:
    case ChatTemplate::deepseek_v31: return render_deepseek(chat, messages, think);
    case ChatTemplate::chatml:
    case ChatTemplate::qwen3: return render_chatml(chat, messages, think);
    case ChatTemplate::llama3: return render_llama3(messages);
    case ChatTemplate::kimi: return render_kimi(messages);
  }
  return {};
}

bool chat_template_thinks(ChatTemplate chat) {
  return chat == ChatTemplate::deepseek_r1 || chat == ChatTemplate::deepseek_v31 || chat == ChatTemplate::qwen3;
}

}  // namespace wenqu::engine
