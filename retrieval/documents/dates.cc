#include "retrieval/documents/dates.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <ctime>

#include <fmt/format.h>

#include "retrieval/documents/trimmed.h"
#include "retrieval/filter.h"

namespace wenqu::retrieval {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

// Reads the words of a date one after the other.
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

// From "Mar" on to "March"; 0 for what is no month.
int month_of(std::string_view name) {
  constexpr std::array<std::string_view, 12> kMonths = {"january", "february", "march", "april", "may", "june",
                                                        "july", "august", "september", "october", "november", "december"};
  if (name.ends_with('.')) name.remove_suffix(1);
  if (name.size() < 3) return 0;
  std::string small(name);
  for (char& c : small) c = lower(c);
  for (size_t i = 0; i < kMonths.size(); ++i)
    if (kMonths[i].starts_with(small)) return static_cast<int>(i) + 1;
  return 0;
}

// Takes what stands at the front of a text.
class Front {
 public:
  explicit Front(std::string_view text) : text_(text) {}
  bool take(std::string_view piece) {
    const bool there = text_.starts_with(piece);
    if (there) text_.remove_prefix(piece.size());
    return there;
  }
  std::string_view digits() {
    const std::string_view digits = text_.substr(0, std::min(text_.find_first_not_of("0123456789"), text_.size()));
    text_.remove_prefix(digits.size());
    return digits;
  }

 private:
  std::string_view text_;
};

// What stands behind a day, as "T08:00:00+08:00"; "" unless it is a time with a zone that can be read: a time without one is
// no moment, and "CST" is that of China or of Chicago.
std::string clock_of(std::string_view text) {
  Front in(text);
  while (in.take(" ") || in.take(",") || in.take("T") || in.take("t") || in.take("日")) {}
  const int hour = number_of(in.digits());
  const int minute = in.take(":") ? number_of(in.digits()) : -1;
  const int second = in.take(":") ? number_of(in.digits()) : 0;
  if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60) return {};
  if (in.take(".") || in.take(",")) (void)in.digits();
  while (in.take(" ")) {}
  const std::string clock = fmt::format("T{:02}:{:02}:{:02}", hour, minute, second);
  const bool utc = in.take("Z") || in.take("z") || in.take("UTC") || in.take("GMT");
  const bool behind = in.take("-");
  if (!behind && !in.take("+")) return utc ? clock + "Z" : std::string();
  const std::string_view zone = in.digits();
  const std::string_view minutes = zone.size() == 4 ? zone.substr(2) : in.take(":") ? in.digits() : "0";
  const int zone_hours = number_of(zone.substr(0, 2)), zone_minutes = number_of(minutes);
  if (zone.size() == 3 || zone_hours < 0 || zone_hours > 23 || zone_minutes < 0 || zone_minutes > 59) return {};
  return fmt::format("{}{}{:02}:{:02}", clock, behind ? '-' : '+', zone_hours, zone_minutes);
}

// A day and what follows it; "" where there is no such day.
std::string day_and(int year, int month, int day, const std::string& clock) {
  namespace ch = std::chrono;
  const ch::year_month_day date = ch::year(year) / ch::month(static_cast<unsigned>(month)) / ch::day(static_cast<unsigned>(day));
  return date.ok() ? fmt::format("{:04}-{:02}-{:02}{}", year, month, day, clock) : std::string();
}

// Seconds or milliseconds since 1970, or "20240305".
std::string date_of_count(std::string_view digits) {
  constexpr int64_t kMostSeconds = 9'999'999'999;
  if (digits.size() == 8) return day_and(number_of(digits.substr(0, 4)), number_of(digits.substr(4, 2)), number_of(digits.substr(6)), {});
  if (digits.size() > 13) return {};
  int64_t count = 0;
  for (char c : digits) count = count * 10 + (c - '0');
  return iso_time(count > kMostSeconds ? count / 1000 : count);
}

// "2024年3月5日 08:00", "2024/3/5".
std::string date_in_numbers(std::string_view text) {
  std::array<int, 3> numbers{};
  std::array<int, 3> digits{};
  size_t field = 0, end = 0;
  for (; end < text.size(); ++end) {
    const char c = text[end];
    if (is_digit(c)) {
      if (++digits[field] > 4) return {};
      numbers[field] = numbers[field] * 10 + (c - '0');
    } else if (digits[field] > 0 && ++field == 3) {
      break;
    } else if (field > 0 && lower(c) >= 'a' && lower(c) <= 'z') {
      return {};   // the month has a name
    }
  }
  return digits[0] == 4 ? day_and(numbers[0], numbers[1], numbers[2], clock_of(text.substr(end))) : std::string();
}

// "March 1, 2024", "Tue, 5 Mar 2024 08:00:00 +0800", "Tue Mar  5 08:00:00 2024".
std::string date_in_words(std::string_view text) {
  constexpr size_t kMostBytes = 80;   // that is a sentence
  if (text.size() > kMostBytes) return {};
  int year = 0, month = 0, day = 0;
  std::string clock;
  Words words(text);
  for (std::string_view word = words.next(); !word.empty(); word = words.next()) {
    if (word.find(':') != std::string_view::npos) {
      if (clock.empty()) clock = clock_of(text.substr(static_cast<size_t>(word.data() - text.data())));
    } else if (!is_digit(word.front())) {
      if (month == 0) month = month_of(word);
    } else {
      const std::string_view digits = Front(word).digits();   // of "1st"
      if (digits.size() == 4 && year == 0) year = number_of(digits);
      if (digits.size() <= 2 && day == 0) day = number_of(digits);
    }
  }
  return year > 0 ? day_and(year, month, day, clock) : std::string();
}

}  // namespace

std::string iso_date(std::string_view text) {
  text = trimmed(text);
  if (parse_time(text)) return std::string(text);
  if (!text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos) return date_of_count(text);
  std::string date = date_in_numbers(text);
  return date.empty() ? date_in_words(text) : date;
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
