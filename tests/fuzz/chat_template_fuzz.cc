// Any conversation in each chat template, and any text as a file's template. The first byte chooses the template
// to render in and whether to think; the rest is fields divided by 0x1D: a template's text to recognise, then messages, whose first
// byte chooses the role.
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/chat/chat_template.h"
#include "engine/gguf/file.h"
#include "engine/tokenizer/tokenizer.h"
#include "tests/fuzz/check.h"
#include "tests/support/mini_vocabulary.h"

namespace {

using namespace wenqu;
using namespace wenqu::engine;
using Role = ChatMessage::Role;

constexpr ChatTemplate kTemplates[] = {ChatTemplate::deepseek_v2, ChatTemplate::deepseek_v3, ChatTemplate::deepseek_r1,
                                       ChatTemplate::deepseek_v31, ChatTemplate::chatml,     ChatTemplate::qwen25,
                                       ChatTemplate::qwen3,        ChatTemplate::qwen3_thinking, ChatTemplate::qwen35,
                                       ChatTemplate::llama3,       ChatTemplate::kimi,       ChatTemplate::kimi_thinking};

std::shared_ptr<const Tokenizer> make_tokenizer() {
  test::GgufWriter writer;
  test::MiniVocabulary().write(writer, "deepseek-v3", true);
  const std::string bytes = writer.bytes();
  return *Tokenizer::create(**gguf::File::parse(std::as_bytes(std::span(bytes))));
}

std::vector<std::string_view> fields_of(std::string_view input) {
  std::vector<std::string_view> fields;
  for (;;) {
    const size_t end = input.find('\x1D');
    fields.push_back(input.substr(0, end));
    if (end == input.npos) return fields;
    input.remove_prefix(end + 1);
  }
}

void check_detection(const Tokenizer& tokenizer, std::string_view text) {
  test::GgufWriter writer;
  writer.set_string("general.architecture", "qwen2");
  writer.set_string("tokenizer.chat_template", text);
  const std::string bytes = writer.bytes();
  const auto file = gguf::File::parse(std::as_bytes(std::span(bytes)));
  WENQU_FUZZ_CHECK(file);
  const auto chat = detect_chat_template(**file, tokenizer);
  // An unknown one is an error that lists the names.
  if (!chat) WENQU_FUZZ_CHECK(chat.status().message().find(chat_template_name(ChatTemplate::deepseek_r1)) != std::string::npos);
}

std::vector<std::string> control_texts(const RenderedChat& chat) {
  std::vector<std::string> texts;
  for (const Piece& piece : chat.pieces)
    if (piece.kind == Piece::Kind::control) texts.push_back(piece.text);
  return texts;
}

// Llama 3 takes messages without the spaces around them.
std::string_view trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t\r\n");
  if (begin == text.npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r\n") - begin + 1);
}

void check_rendering(ChatTemplate chat, const std::vector<ChatMessage>& messages, bool think, const Tokenizer& tokenizer) {
  const RenderedChat rendered = render_chat(chat, messages, think);
  // No text makes or changes a control piece: other texts give the same ones.
  std::vector<ChatMessage> others = messages;
  for (ChatMessage& message : others) message.text = "x";
  WENQU_FUZZ_CHECK(control_texts(rendered) == control_texts(render_chat(chat, others, think)));
  // What users said stands in the plain pieces as they said it, in order.
  size_t at = 0;
  for (const ChatMessage& message : messages) {
    if (message.role != Role::user) continue;
    const std::string_view text = chat == ChatTemplate::llama3 ? trimmed(message.text) : std::string_view(message.text);
    if (text.empty()) continue;
    while (at < rendered.pieces.size() && (rendered.pieces[at].kind != Piece::Kind::text || rendered.pieces[at].text != text)) ++at;
    WENQU_FUZZ_CHECK(at < rendered.pieces.size());
    ++at;
  }
  for (const Piece& piece : rendered.pieces)
    if (piece.kind == Piece::Kind::text)
      for (const TokenId id : tokenizer.encode(piece.text)) WENQU_FUZZ_CHECK(!tokenizer.is_control(id));
  WENQU_FUZZ_CHECK(!rendered.starts_in_thinking || chat_template_thinks(chat));
  // Control tokens come of the literals alone, and one beginning.
  size_t of_literals = 0, of_all = 0, begins = 0;
  for (const std::string& text : control_texts(rendered))
    for (const TokenId id : tokenizer.encode_control(text)) of_literals += tokenizer.is_control(id) && id != tokenizer.bos();
  for (const TokenId id : tokenizer.encode(rendered.pieces)) {
    of_all += tokenizer.is_control(id) && id != tokenizer.bos();
    begins += id == tokenizer.bos();
  }
  WENQU_FUZZ_CHECK(of_all == of_literals && begins == 1);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::shared_ptr<const Tokenizer> tokenizer = make_tokenizer();
  if (size == 0) return 0;
  const ChatTemplate chat = kTemplates[data[0] % std::size(kTemplates)];
  const std::vector<std::string_view> fields = fields_of({reinterpret_cast<const char*>(data) + 1, size - 1});
  check_detection(*tokenizer, fields[0]);
  std::vector<ChatMessage> messages;
  for (size_t i = 1; i < fields.size() && i <= 8; ++i) {
    if (fields[i].empty()) continue;
    messages.push_back({static_cast<Role>(static_cast<unsigned char>(fields[i][0]) % 3), std::string(fields[i].substr(1))});
  }
  check_rendering(chat, messages, (data[0] & 0x80) != 0, *tokenizer);
  return 0;
}
