// What restricts a search, on the command line.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "retrieval/filter.h"

namespace wenqu::cli {

struct FilterOptions {
  std::string from;
  std::string until;
  std::vector<std::string> attributes;   // "name=value"
  std::vector<std::string> principals;
  bool check_access = false;             // also where no principal is named
};

inline Result<retrieval::Filter> parse_filter(const FilterOptions& options) {
  retrieval::Filter filter;
  for (const auto& [text, name] : {std::pair(&options.from, "--from"), std::pair(&options.until, "--until")})
    if (!text->empty() && !retrieval::parse_time(*text))
      return Status(StatusCode::invalid_argument, "'" + *text + "' is no ISO 8601 date or date-time", name);
  filter.published_from = options.from;
  filter.published_until = options.until;
  for (const std::string& attribute : options.attributes) {
    const size_t equals = attribute.find('=');
    if (equals == std::string::npos || equals == 0)
      return Status(StatusCode::invalid_argument, "'" + attribute + "' is not NAME=VALUE", "--attribute");
    filter.attributes[attribute.substr(0, equals)].push_back(attribute.substr(equals + 1));
  }
  if (options.check_access || !options.principals.empty()) filter.principals = options.principals;
  return filter;
}

}  // namespace wenqu::cli
