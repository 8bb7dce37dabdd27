#include "retrieval/documents/subtitles.h"

#include <optional>
#include <string>

#include "retrieval/documents/text_builder.h"

namespace wenqu::retrieval {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::string_view trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r\n") - begin + 1);
}

// "01:02:03,456", "1:02:03.4" and "02:03.456" in milliseconds.
std::optional<uint64_t> parse_time(std::string_view text) {
  uint64_t seconds = 0, field = 0;
  size_t i = 0, fields = 0, digits = 0;
  for (; i < text.size() && (is_digit(text[i]) || text[i] == ':'); ++i) {
    if (text[i] == ':') {
      if (digits == 0 || ++fields > 2) return std::nullopt;
      seconds = (seconds + field) * 60;
      field = digits = 0;
    } else {
      if (++digits > 6) return std::nullopt;
      field = field * 10 + static_cast<uint64_t>(text[i] - '0');
    }
  }
  if (fields == 0 || digits == 0) return std::nullopt;
  uint64_t milliseconds = 0;
  if (i < text.size() && (text[i] == ',' || text[i] == '.')) {
    uint64_t scale = 100;
    for (++i; i < text.size() && is_digit(text[i]); ++i, scale /= 10) milliseconds += scale * static_cast<uint64_t>(text[i] - '0');
  }
  return (seconds + field) * 1000 + milliseconds;
}

// Without <i>, <c.red>, <00:01.000> and {\an8}; &amp; and its like as what they mean.
std::string without_formatting(std::string_view line) {
  std::string out;
  const size_t last_tag_end = line.rfind('>'), last_position_end = line.rfind('}');
  const auto before = [](size_t at, size_t end) { return end != std::string_view::npos && at < end; };
  for (size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    const bool tag = c == '<' && before(i, last_tag_end);
    if (tag || (c == '{' && before(i, last_position_end) && line[i + 1] == '\\')) {
      i = line.find(tag ? '>' : '}', i);
      continue;
    }
    if (c == '&') {
      constexpr std::string_view kNames[][2] = {{"&amp;", "&"}, {"&lt;", "<"}, {"&gt;", ">"}, {"&nbsp;", " "}, {"&lrm;", ""}, {"&rlm;", ""}};
      bool replaced = false;
      for (const auto& [name, meaning] : kNames) {
        if (!line.substr(i).starts_with(name)) continue;
        out += meaning;
        i += name.size() - 1;
        replaced = true;
        break;
      }
      if (replaced) continue;
    }
    out += c;
  }
  return std::string(trimmed(out));
}

}  // namespace

Extracted extract_subtitles(std::string_view text) {
  Extracted out;
  TextBuilder lines;
  std::string last;
  bool in_cue = false;
  while (!text.empty()) {
    const size_t end = text.find_first_of("\r\n");
    const std::string_view line = trimmed(text.substr(0, end));
    const size_t line_end = end == std::string_view::npos ? text.size() : end;
    text.remove_prefix(line_end);
    if (text.starts_with("\r\n")) text.remove_prefix(2);
    else if (!text.empty()) text.remove_prefix(1);

    const size_t arrow = line.find("-->");
    if (arrow != std::string_view::npos) {
      const auto begin = parse_time(trimmed(line.substr(0, arrow)));
      in_cue = begin.has_value();
      if (in_cue) lines.mark({Locator::Kind::time, *begin});
      continue;
    }
    if (line.empty()) {
      in_cue = false;
      continue;
    }
    if (!in_cue) continue;   // a cue's number, a note, a style
    std::string words = without_formatting(line);
    if (words.empty() || words == last) continue;
    lines.break_line();
    lines.add(words);
    last = std::move(words);
  }
  out.source = Source::video;
  out.marks = lines.marks();
  out.text = lines.take();
  return out;
}

}  // namespace wenqu::retrieval
