#include "retrieval/documents/dates.h"

#include <array>
#include <chrono>
#include <ctime>

#include <fmt/format.h>

namespace wenqu::retrieval {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

// Reads the words of a mail date one after the other.
class Words {
 public:
  explicit Words(std::string_view text) : text_(text) {}
  std::string_view next() {
    while (!text_.empty() && (text_.front() == ' ' || text_.front() == '\t' || text_.front() == ',')) text_.remove_prefix(1);
    size_t end = 0;
    while (end < text_.size() && text_[end] != ' ' && text_[end] != '\t' && text_[end] != ',') ++end;
    const std::string_view word = text_.substr(0, end);
    text_.remove_prefix(end);
    return word;
  }

 private:
  std::string_view text_;
};

// -1 for what is no number of at most four digits.
int number_of(std::string_view digits) {
  if (digits.empty() || digits.size() > 4) return -1;
  int value = 0;
  for (char c : digits) {
    if (!is_digit(c)) return -1;
    value = value * 10 + (c - '0');
  }
  return value;
}

int month_of(std::string_view name) {
  constexpr std::array<std::string_view, 12> kMonths = {"jan", "feb", "mar", "apr", "may", "jun",
                                                        "jul", "aug", "sep", "oct", "nov", "dec"};
  if (name.size() < 3) return 0;
  const char three[] = {lower(name[0]), lower(name[1]), lower(name[2])};
  for (size_t i = 0; i < kMonths.size(); ++i)
    if (std::string_view(three, 3) == kMonths[i]) return static_cast<int>(i) + 1;
  return 0;
}

}  // namespace

std::string iso_date(std::string_view text) {
  std::array<int, 3> numbers{};
  std::array<int, 3> digits{};
  size_t field = 0;
  for (size_t i = 0; i < text.size() && field < 3; ++i) {
    if (is_digit(text[i])) {
      if (++digits[field] > 4) return {};
      numbers[field] = numbers[field] * 10 + (text[i] - '0');
    } else if (digits[field] > 0) {
      ++field;
    }
  }
  if (digits[0] != 4 || numbers[1] < 1 || numbers[1] > 12 || numbers[2] < 1 || numbers[2] > 31) return {};
  if (text.size() >= 10 && text.size() <= 40 && text[4] == '-' && text[7] == '-' && digits[1] == 2) return std::string(text);
  return fmt::format("{:04}-{:02}-{:02}", numbers[0], numbers[1], numbers[2]);
}

std::string mail_date(std::string_view text) {
  Words words(text);
  std::string_view word = words.next();
  if (!word.empty() && !is_digit(word.front())) word = words.next();   // the day of the week
  const int day = number_of(word);
  const int month = month_of(words.next());
  int year = number_of(words.next());
  if (year >= 0 && year < 100) year += year < 50 ? 2000 : 1900;
  const std::string_view clock = words.next();
  if (day < 1 || day > 31 || month == 0 || year < 1980 || clock.size() < 5 || clock[2] != ':') return {};
  const int hour = number_of(clock.substr(0, 2)), minute = number_of(clock.substr(3, 2));
  const int second = clock.size() >= 8 && clock[5] == ':' ? number_of(clock.substr(6, 2)) : 0;
  if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60) return {};
  const std::string_view zone = words.next();
  int offset = 0;
  if (zone.size() == 5 && (zone[0] == '+' || zone[0] == '-')) {
    const int hhmm = number_of(zone.substr(1));
    if (hhmm >= 0) offset = (hhmm / 100 * 60 + hhmm % 100) * (zone[0] == '-' ? -60 : 60);
  }
  namespace ch = std::chrono;
  const ch::sys_days date = ch::year(year) / ch::month(static_cast<unsigned>(month)) / ch::day(static_cast<unsigned>(day));
  return iso_time(ch::duration_cast<ch::seconds>(date.time_since_epoch()).count() + hour * 3600 + minute * 60 + second - offset);
}

std::string iso_time(int64_t seconds) {
  constexpr int64_t k1980 = 315532800, k2200 = 7258118400;
  if (seconds < k1980 || seconds >= k2200) return {};
  const std::time_t time = seconds;
  std::tm utc{};
  char text[32];
  if (!gmtime_r(&time, &utc) || std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc) == 0) return {};
  return text;
}

}  // namespace wenqu::retrieval
