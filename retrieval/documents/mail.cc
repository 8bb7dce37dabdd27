#include "retrieval/documents/mail.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "base/utf8.h"
#include "retrieval/documents/dates.h"
#include "retrieval/documents/decode.h"
#include "retrieval/documents/html.h"
#include "retrieval/documents/mail_coding.h"
#include "retrieval/documents/read_limits.h"
#include "retrieval/documents/trimmed.h"

namespace wenqu::retrieval {
namespace {

constexpr size_t kMaxHeaderBytes = 1 << 20;

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return out;
}

// The header fields of a message or part, and what follows them.
struct Entity {
  std::vector<std::pair<std::string, std::string>> fields;   // names in lower case, values unfolded
  std::string_view body;

  std::string_view field(std::string_view name) const {
    for (const auto& [key, value] : fields)
      if (key == name) return value;
    return {};
  }
};

Entity parse_entity(std::string_view text) {
  Entity entity;
  size_t at = 0;
  while (at < text.size() && at < kMaxHeaderBytes) {
    const size_t end = std::min(text.find('\n', at), text.size());
    std::string_view line = text.substr(at, end - at);
    if (line.ends_with('\r')) line.remove_suffix(1);
    const size_t colon = line.find(':');
    const bool folded = line.starts_with(' ') || line.starts_with('\t');
    if (line.empty()) {
      at = std::min(end + 1, text.size());
      break;
    }
    if (folded && !entity.fields.empty()) {
      entity.fields.back().second += line;
    } else if (colon != std::string_view::npos && colon > 0) {
      entity.fields.emplace_back(lower(trimmed(line.substr(0, colon))), trimmed(line.substr(colon + 1)));
    } else if (!line.starts_with("From ")) {
      break;   // the header ends without a blank line
    }
    at = std::min(end + 1, text.size());
  }
  entity.body = text.substr(std::min(at, text.size()));
  return entity;
}

// The value of `name` in "text/plain; charset=utf-8; boundary=\"x\"", as it is written.
std::string parameter(std::string_view field, const std::string& name) {
  const std::string folded = lower(field);
  for (size_t at = folded.find(';'); at != std::string::npos; at = folded.find(';', at + 1)) {
    size_t begin = folded.find_first_not_of(" \t", at + 1);
    if (begin == std::string::npos || folded.compare(begin, name.size(), name) != 0) continue;
    begin = folded.find_first_not_of(" \t", begin + name.size());
    if (begin == std::string::npos || folded[begin] != '=') continue;
    begin = folded.find_first_not_of(" \t", begin + 1);
    if (begin == std::string::npos) return {};
    if (folded[begin] != '"') return std::string(trimmed(field.substr(begin, folded.find(';', begin) - begin)));
    const size_t end = folded.find('"', begin + 1);
    return std::string(field.substr(begin + 1, end == std::string::npos ? end : end - begin - 1));
  }
  return {};
}

class MailReader {
 public:
  explicit MailReader(const CancelToken& cancel) : cancel_(cancel) {}

  // The text of an entity, "" for one that holds none.
  Result<std::string> text_of(const Entity& entity, int depth) {
    WENQU_RETURN_IF_ERROR(cancel_.status());
    if (depth > kMaxMailDepth)
      return Status(StatusCode::limit_exceeded, "the message is nested deeper than " + std::to_string(kMaxMailDepth) + " levels");
    const std::string_view content_type = entity.field("content-type");
    const std::string type = lower(trimmed(content_type.substr(0, content_type.find(';'))));
    if (type.starts_with("multipart/")) return text_of_parts(entity, type, parameter(content_type, "boundary"), depth);
    if (lower(entity.field("content-disposition")).starts_with("attachment")) return std::string();
    if (type == "message/rfc822") {
      const Entity inner = parse_entity(entity.body);
      WENQU_ASSIGN_OR_RETURN(const std::string text, text_of(inner, depth + 1));
      return "\n" + decode_mail_words(inner.field("subject")) + "\n\n" + text;
    }
    if (!type.empty() && type != "text/plain" && type != "text/html") return std::string();
    const std::string bytes = decoded(entity);
    std::string charset = lower(parameter(content_type, "charset"));
    if (type != "text/html") return decode_text(bytes, charset).text;
    if (charset.empty()) charset = declared_charset(bytes);
    return extract_html(decode_text(bytes, charset).text).text;
  }

 private:
  static std::string decoded(const Entity& entity) {
    const std::string coding = lower(trimmed(entity.field("content-transfer-encoding")));
    if (coding == "base64") return decode_base64(entity.body);
    if (coding == "quoted-printable") return decode_quoted_printable(entity.body);
    return std::string(entity.body);
  }

  Result<std::string> text_of_parts(const Entity& entity, const std::string& type, const std::string& boundary, int depth) {
    std::string out;
    if (boundary.empty()) return out;
    const bool alternatives = type == "multipart/alternative";
    const std::string mark = "--" + boundary;
    std::string_view rest = entity.body;
    for (bool inside = false; !rest.empty();) {
      const size_t found = next_mark(rest, mark);
      if (inside) {
        if (++parts_ > kMaxMailParts)
          return Status(StatusCode::limit_exceeded, "the message has more than " + std::to_string(kMaxMailParts) + " parts");
        const Entity part = parse_entity(rest.substr(0, found));
        // The plain text comes first; pictures and calendars are no better for reading.
        if (!(alternatives && !out.empty())) {
          WENQU_ASSIGN_OR_RETURN(const std::string text, text_of(part, depth + 1));
          if (trimmed(text).size() > 0) {
            if (!out.empty()) out += "\n\n";
            out += text;
          }
        }
        if (out.size() > kMaxTextBytesOfFile) return Status(StatusCode::limit_exceeded, "the message holds too much text");
      }
      if (found == std::string_view::npos) break;
      rest.remove_prefix(found + mark.size());
      if (rest.starts_with("--")) break;
      rest.remove_prefix(std::min(rest.find('\n') == std::string_view::npos ? rest.size() : rest.find('\n') + 1, rest.size()));
      inside = true;
    }
    return out;
  }

  // A boundary stands at the beginning of a line.
  static size_t next_mark(std::string_view text, const std::string& mark) {
    for (size_t at = text.find(mark); at != std::string_view::npos; at = text.find(mark, at + 1))
      if (at == 0 || text[at - 1] == '\n') return at;
    return std::string_view::npos;
  }

  const CancelToken& cancel_;
  int parts_ = 0;
};

// "Li Hua" of "\"Li Hua\" <li@example.org>"; the address where there is no name.
std::string sender_name(std::string_view from) {
  const std::string whole = decode_mail_words(from);
  const std::string_view name = trimmed(std::string_view(whole).substr(0, whole.find('<')));
  if (name.size() >= 2 && name.front() == '"' && name.back() == '"') return std::string(name.substr(1, name.size() - 2));
  if (!name.empty()) return std::string(name);
  const std::string_view address = trimmed(whole);
  if (address.size() < 2) return std::string(address);
  return std::string(address.substr(1, std::min(address.find('>'), address.size()) - 1));
}

}  // namespace

Result<Extracted> extract_mail(std::string_view bytes, const CancelToken& cancel) {
  if (bytes.starts_with("\xEF\xBB\xBF")) bytes.remove_prefix(3);
  const Entity message = parse_entity(bytes);
  if (message.fields.empty()) return Status(StatusCode::corrupt, "no message: it does not begin with header fields");
  Extracted out;
  out.title = utf8_sanitize(trimmed(decode_mail_words(message.field("subject"))));
  out.author = utf8_sanitize(sender_name(message.field("from")));
  out.published_at = mail_date(message.field("date"));
  WENQU_ASSIGN_OR_RETURN(out.text, MailReader(cancel).text_of(message, 0));
  out.text.erase(std::remove(out.text.begin(), out.text.end(), '\r'), out.text.end());
  return out;
}

}  // namespace wenqu::retrieval
