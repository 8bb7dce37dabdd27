// Which documents may be found, besides what a question says.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace wenqu::retrieval {

struct Filter {
  // Only documents published in this time, both ends included: ISO 8601 dates or date-times, UTC where they name no
  // zone. A date as the end means the whole of that day. Documents without a date are left out. Empty: no limit.
  std::string published_from;
  std::string published_until;
  // Only documents whose attribute of each name has one of the values. Values over 512 bytes are never found.
  std::map<std::string, std::vector<std::string>> attributes;
  // Who asks: only documents whose acl is empty or names one of these. Empty: documents for everybody only. Without
  // a value, access is not checked.
  std::optional<std::vector<std::string>> principals;

  bool is_empty() const {
    return published_from.empty() && published_until.empty() && attributes.empty() && !principals;
  }
  bool operator==(const Filter&) const = default;
};

// A stretch of time in seconds since 1970, both ends included: a day for "2024-05-06", a second for a date-time.
struct TimeSpan {
  int64_t first = 0;
  int64_t last = 0;
  bool operator==(const TimeSpan&) const = default;
};

// ISO 8601: a year, month, day, or date-time with minutes or seconds, and a zone ("Z", "+08:00"). Years 0 to 9999.
std::optional<TimeSpan> parse_time(std::string_view text);

}  // namespace wenqu::retrieval
