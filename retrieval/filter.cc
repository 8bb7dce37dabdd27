#include "retrieval/filter.h"

#include <chrono>

namespace wenqu::retrieval {
namespace {

class TimeReader {
 public:
  explicit TimeReader(std::string_view text) : text_(text) {}

  bool take(char c) {
    if (text_.empty() || text_.front() != c) return false;
    text_.remove_prefix(1);
    return true;
  }
  // A number of exactly so many digits, at most `greatest`.
  std::optional<int> number(size_t digits, int least, int greatest) {
    if (text_.size() < digits) return std::nullopt;
    int value = 0;
    for (size_t i = 0; i < digits; ++i) {
      if (text_[i] < '0' || text_[i] > '9') return std::nullopt;
      value = value * 10 + (text_[i] - '0');
    }
    if (value < least || value > greatest) return std::nullopt;
    text_.remove_prefix(digits);
    return value;
  }
  void skip_digits() {
    while (!text_.empty() && text_.front() >= '0' && text_.front() <= '9') text_.remove_prefix(1);
  }
  bool at_end() const { return text_.empty(); }

 private:
  std::string_view text_;
};

int64_t start_of(std::chrono::year_month_day day) {
  return std::chrono::sys_seconds(std::chrono::sys_days(day)).time_since_epoch().count();
}

// The zone as seconds ahead of UTC.
std::optional<int64_t> read_zone(TimeReader& in) {
  if (in.at_end() || in.take('Z') || in.take('z')) return 0;
  const bool ahead = in.take('+');
  if (!ahead && !in.take('-')) return std::nullopt;
  const auto hours = in.number(2, 0, 23);
  (void)in.take(':');
  const auto minutes = in.number(2, 0, 59);
  if (!hours || !minutes) return std::nullopt;
  const int64_t seconds = *hours * 3600 + *minutes * 60;
  return ahead ? seconds : -seconds;
}

}  // namespace

std::optional<TimeSpan> parse_time(std::string_view text) {
  using namespace std::chrono;
  TimeReader in(text);
  const auto y = in.number(4, 0, 9999);
  if (!y) return std::nullopt;
  const year_month_day first_of_year(year(*y), January, day(1));
  if (in.at_end()) return TimeSpan{start_of(first_of_year), start_of({year(*y + 1), January, day(1)}) - 1};
  if (!in.take('-')) return std::nullopt;
  const auto m = in.number(2, 1, 12);
  if (!m) return std::nullopt;
  const month which(static_cast<unsigned>(*m));
  if (in.at_end())
    return TimeSpan{start_of({year(*y), which, day(1)}),
                    start_of(year_month_day(year_month_day_last(year(*y), month_day_last(which)))) + 86'399};
  if (!in.take('-')) return std::nullopt;
  const auto d = in.number(2, 1, 31);
  if (!d) return std::nullopt;
  const year_month_day date(year(*y), which, day(static_cast<unsigned>(*d)));
  if (!date.ok()) return std::nullopt;
  if (in.at_end()) return TimeSpan{start_of(date), start_of(date) + 86'399};
  if (!in.take('T') && !in.take('t') && !in.take(' ')) return std::nullopt;
  const auto h = in.number(2, 0, 24);
  if (!h || !in.take(':')) return std::nullopt;
  const auto min = in.number(2, 0, 59);
  if (!min) return std::nullopt;
  TimeSpan span;
  span.first = start_of(date) + *h * 3600 + *min * 60;
  span.last = span.first + 59;
  if (in.take(':')) {
    const auto s = in.number(2, 0, 60);
    if (!s) return std::nullopt;
    span.first = span.last = span.first + *s;
    if (in.take('.') || in.take(',')) in.skip_digits();
  }
  const auto ahead = read_zone(in);
  if (!ahead || !in.at_end()) return std::nullopt;
  return TimeSpan{span.first - *ahead, span.last - *ahead};
}

}  // namespace wenqu::retrieval
