// tiktoken's vocabulary file, as Kimi-K2 is published with.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <unordered_map>

#include "base/utf8.h"
#include "engine/convert/hf_tokenizer.h"
#include "engine/tokenizer/vocabulary.h"

namespace wenqu::engine::convert {
namespace {

constexpr size_t kMaxTokenBytes = 4096;
using Ranks = std::unordered_map<std::string, uint64_t>;

// False for what is no base64.
bool decode_base64(std::string_view text, std::string& out) {
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  while (!text.empty() && text.back() == '=') text.remove_suffix(1);
  uint32_t bits = 0, held = 0;
  for (const char c : text) {
    const size_t digit = kDigits.find(c);
    if (digit == kDigits.npos) return false;
    bits = (bits << 6 | static_cast<uint32_t>(digit)) & 0xFFFF, held += 6;
    if (held < 8) continue;
    held -= 8;
    out += static_cast<char>(bits >> held & 0xFF);
  }
  return true;
}

std::string characters_of(std::string_view bytes) {
  std::string out;
  for (const char byte : bytes) utf8_append(out, byte_character(static_cast<uint8_t>(byte)));
  return out;
}

// Merges a token's bytes with the ranks below its own: the last two parts are the merge that makes it.
std::pair<std::string, std::string> last_merge(const std::string& token, uint64_t rank, const Ranks& ranks) {
  std::vector<std::string> parts;
  for (const char byte : token) parts.emplace_back(1, byte);
  while (parts.size() > 2) {
    size_t at = 0;
    uint64_t least = rank;
    for (size_t i = 0; i + 1 < parts.size(); ++i)
      if (const auto found = ranks.find(parts[i] + parts[i + 1]); found != ranks.end() && found->second < least)
        least = found->second, at = i;
    if (least == rank) return {};   // no merges lead to it
    parts[at] += parts[at + 1];
    parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(at) + 1);
  }
  return parts.size() == 2 ? std::pair(parts[0], parts[1]) : std::pair<std::string, std::string>();
}

Status read_ranks(std::string_view text, std::string_view place, uint64_t rows, std::vector<std::string>& tokens, Ranks& ranks) {
  size_t number = 0;
  for (size_t begin = 0; begin < text.size(); ++number) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = text.substr(begin, end - begin);
    begin = end + 1;
    if (line.empty()) continue;
    const size_t space = line.find(' ');
    std::string token;
    uint64_t rank = 0;
    const bool good = space != line.npos && space > 0 && decode_base64(line.substr(0, space), token) && !token.empty() &&
                      token.size() <= kMaxTokenBytes &&
                      std::from_chars(line.data() + space + 1, line.data() + line.size(), rank).ec == std::errc() && rank < rows;
    if (!good || !ranks.emplace(token, rank).second)
      return Status(StatusCode::corrupt, fmt::format("is not a new token in base64 and a rank below {}", rows),
                    fmt::format("{}:{}", place, number + 1));
    if (rank >= tokens.size()) tokens.resize(rank + 1);
    tokens[rank] = std::move(token);
  }
  return {};
}

}  // namespace

Result<HfTokenizer> read_tiktoken(std::string_view text, const Object& config, std::string_view place, uint64_t rows,
                                  const std::string& pre) {
  std::vector<std::string> tokens;
  Ranks ranks;
  WENQU_RETURN_IF_ERROR(read_ranks(text, place, rows, tokens, ranks));
  HfTokenizer out;
  out.pre = pre.empty() ? "kimi-k2" : pre;
  for (uint64_t rank = 0; rank < tokens.size(); ++rank) {
    const std::string& token = tokens[rank];
    out.tokens.push_back(token.empty() ? fmt::format("[PAD{}]", rank) : characters_of(token));
    out.kinds.push_back(token.empty() ? 5 : 1);
    if (token.size() < 2) continue;
    const auto [left, right] = last_merge(token, rank, ranks);
    if (!left.empty()) out.merges.push_back(fmt::format("{} {}", characters_of(left), characters_of(right)));
  }
  WENQU_ASSIGN_OR_RETURN(const std::optional<Object> added, config.object("added_tokens_decoder"));
  if (!added) return config.wrong("added_tokens_decoder", "is missing: it names the control tokens");
  for (const auto& member : added->value().GetObject()) {
    const std::string_view name = text_of(member.name);
    uint64_t id = 0;
    std::string content;
    bool special = false;
    if (std::from_chars(name.data(), name.data() + name.size(), id).ec != std::errc() || id >= rows || !member.value.IsObject())
      return added->wrong(name, fmt::format("is no token with an id below {}", rows));
    const Object token(member.value, fmt::format("{}: {}", added->place(), name));
    WENQU_RETURN_IF_ERROR(token.may_text("content", content));
    WENQU_RETURN_IF_ERROR(token.may_flag("special", special));
    for (uint64_t i = out.tokens.size(); i <= id; ++i) out.tokens.push_back(fmt::format("[PAD{}]", i)), out.kinds.push_back(5);
    out.tokens[id] = content, out.kinds[id] = special ? 3 : 4;
  }
  return out;
}

}  // namespace wenqu::engine::convert
