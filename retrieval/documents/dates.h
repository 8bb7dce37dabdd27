// Dates as people and programs write them, to ISO 8601. Thread safety: pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace wenqu::retrieval {

// "2024年3月5日 08:00", "2024/3/5", "2024.03.05", "20240305" and "March 5, 2024" as 2024-03-05; seconds or milliseconds since 1970 as
// iso_time(); a date that filters read (parse_time) stays; anything else gives "". A time of day is kept where a zone is named
// that can be read: "2024/3/5 8:00 +0800" as 2024-03-05T08:00:00+08:00.
std::string iso_date(std::string_view text);
// "Tue, 5 Mar 2024 08:00:00 +0800" (RFC 5322) as 2024-03-05T00:00:00Z; anything else gives "".
std::string mail_date(std::string_view text);
// Seconds since 1970 as ISO 8601 in UTC; "" before 1980 and after 2200, which are no dates of documents.
std::string iso_time(int64_t seconds);

}  // namespace wenqu::retrieval
