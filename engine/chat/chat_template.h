// Conversations in the form each model was trained on, as pieces. The forms are written out here,
// one renderer each; templates inside model files are data we recognise, never code we run.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "engine/tokenizer/piece.h"

namespace wenqu::engine {

namespace gguf {
class File;
}
class Tokenizer;

struct ChatMessage {
  enum class Role { system, user, assistant };
  Role role = Role::user;
  std::string text;   // of an assistant: the answer; its thinking is left out of later prompts
};

enum class ChatTemplate {
  deepseek_v2,   // "User: ... Assistant:"
  deepseek_v3,   // V2.5, V3
  deepseek_r1,   // R1 and its distilled models: the prompt opens <think>
  deepseek_v31,  // V3.1: <think> or </think> by mode
  chatml,        // Qwen2.5
  qwen3,         // thinks unless told not to
  llama3,
  kimi,          // Kimi-K2, Moonlight
};

std::string_view chat_template_name(ChatTemplate chat);
std::optional<ChatTemplate> parse_chat_template(std::string_view name);

// Recognises the file's template by its text or, where it has none, by its architecture and control
// tokens. Errors: unsupported, listing the names that can be given instead.
Result<ChatTemplate> detect_chat_template(const gguf::File& file, const Tokenizer& tokenizer);

struct RenderedChat {
  std::vector<Piece> pieces;      // ends where the model is to go on
  bool starts_in_thinking = false;  // the prompt itself opened <think>
};

// `think`: whether the model shall think first, where its template leaves the choice.
RenderedChat render_chat(ChatTemplate chat, std::span<const ChatMessage> messages, bool think);

// Whether the model thinks between <think> and </think> when rendered with think = true.
bool chat_template_thinks(ChatTemplate chat);

}  // namespace wenqu::engine
