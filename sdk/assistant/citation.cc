#include "sdk/assistant/citation.h"

#include <algorithm>
#include <charconv>

namespace wenqu::assistant {
namespace {

constexpr std::string_view kOpen = "[citation:";
constexpr size_t kMaxDigits = 9;

enum class Match { no, maybe, yes };

// Whether `text` starts with a whole mark; `length` and `number` are set for yes.
Match match_mark(std::string_view text, size_t& length, int& number) {
  const size_t common = std::min(text.size(), kOpen.size());
  if (text.substr(0, common) != kOpen.substr(0, common)) return Match::no;
  size_t pos = common;
  if (pos < kOpen.size()) return Match::maybe;
  while (pos < text.size() && text[pos] == ' ') ++pos;
  const size_t digits = pos;
  while (pos < text.size() && text[pos] >= '0' && text[pos] <= '9') ++pos;
  if (pos - digits > kMaxDigits || digits > kOpen.size() + 2) return Match::no;
  if (pos == text.size()) return Match::maybe;
  if (pos == digits || text[pos] != ']') return Match::no;
  std::from_chars(text.data() + digits, text.data() + pos, number);
  length = pos + 1;
  return Match::yes;
}

}  // namespace

std::string without_marks(std::string text) {
  constexpr std::string_view kBegin = "[citation", kHarmless = "［citation";
  for (size_t at = 0; (at = text.find(kBegin, at)) != std::string::npos; at += kHarmless.size()) text.replace(at, kBegin.size(), kHarmless);
  return text;
}

std::string citation_mark(int number) { return std::string(kOpen) + std::to_string(number) + "]"; }

void CitationParser::emit(std::vector<Part>& parts, std::string_view text) {
  if (text.empty()) return;
  if (parts.empty() || !parts.back().citations.empty()) parts.emplace_back();
  parts.back().text += text;
  // Counted by their first bytes, so that a character cut in two counts once.
  for (const char c : text) position_ += (static_cast<unsigned char>(c) & 0xC0) != 0x80;
}

std::vector<CitationParser::Part> CitationParser::push(std::string_view text) {
  held_.append(text);
  std::vector<Part> parts;
  drain(parts, false);
  return parts;
}

std::vector<CitationParser::Part> CitationParser::finish() {
  std::vector<Part> parts;
  drain(parts, true);
  return parts;
}

void CitationParser::drain(std::vector<Part>& parts, bool at_end) {
  size_t done = 0;
  while (done < held_.size()) {
    const size_t open = held_.find('[', done);
    emit(parts, std::string_view(held_).substr(done, open - done));
    if (open == std::string::npos) {
      done = held_.size();
      break;
    }
    done = open;
    size_t length = 0;
    int number = 0;
    const Match match = match_mark(std::string_view(held_).substr(open), length, number);
    if (match == Match::maybe && !at_end) break;
    if (match == Match::yes) {
      for (const Evidence& evidence : evidence_) {
        if (evidence.number != number) continue;
        const uint32_t begin = position_;
        const std::string mark = citation_mark(number);
        parts.emplace_back();
        parts.back().text = mark;
        position_ += static_cast<uint32_t>(mark.size());
        parts.back().citations.push_back({number, {begin, position_}, &evidence});
        break;
      }
      done += length;
    } else {
      emit(parts, "[");
      done += 1;
    }
  }
  held_.erase(0, done);
}

std::string text_without_citations(std::string_view answer) {
  const std::deque<Evidence> none;
  CitationParser parser(none);
  std::string text;
  for (const CitationParser::Part& part : parser.push(answer)) text += part.text;
  for (const CitationParser::Part& part : parser.finish()) text += part.text;
  return text;
}

}  // namespace wenqu::assistant
