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
  std::string text;   // of an assistant: the answer; thinking before it is left out of the prompt
};

enum class ChatTemplate {
  deepseek_v2,    // V2, Coder-V2: "User: ... Assistant:"
  deepseek_v3,    // V2.5, V3
  deepseek_r1,    // R1 and its distilled models: the prompt opens <think>
  deepseek_v31,   // V3.1: <think> or </think> by mode
  chatml,         // ChatML as it is; Qwen3's models of July 2025 that do not think
  qwen25,         // ChatML where Qwen2.5 is told who it is when there is no system message
  qwen3,          // thinks unless told not to
  qwen3_thinking, // Qwen3's models of July 2025 that always think, QwQ: the prompt opens <think>
  qwen35,         // thinks unless told not to, and the prompt opens <think>
  llama3,         // without the lines of Llama 3.1 that state today's date: they would go wrong every day
  kimi,           // Kimi-K2, Moonlight
  kimi_thinking,  // Kimi-K2-Thinking
};

std::string_view chat_template_name(ChatTemplate chat);
std::optional<ChatTemplate> parse_chat_template(std::string_view name);

// Recognises the file's template by its text (by what it makes the prompt end with, above all) or, where it has none, by its architecture and control
// tokens. Errors: unsupported, listing the names that can be given instead.
Result<ChatTemplate> detect_chat_template(const gguf::File& file, const Tokenizer& tokenizer);

// Whether each mark of a turn that the template writes is a token of the model's that no plain text becomes. Without one of them the
// prompt would be spelled as text, which whoever writes a passage can write, too. <think> and </think> may be text: some models that
// were tuned to think have no tokens for them. Errors: unsupported, with the first such mark.
Status check_chat_marks(ChatTemplate chat, const Tokenizer& tokenizer);

struct RenderedChat {
  std::vector<Piece> pieces;      // ends where the model is to go on
  bool starts_in_thinking = false;  // the prompt itself opened <think>
};

// Several system messages of DeepSeek's are joined by an empty line, in front of everything, as V3.1's template
// has it. `think`: whether the model shall think first, where its template leaves the choice.
RenderedChat render_chat(ChatTemplate chat, std::span<const ChatMessage> messages, bool think);

// Whether the model thinks between <think> and </think> when rendered with think = true.
bool chat_template_thinks(ChatTemplate chat);

}  // namespace wenqu::engine
