#include "retrieval/index/filter_terms.h"

#include <algorithm>
#include <cstdio>

#include "retrieval/filter.h"
#include "retrieval/index/schema.h"

namespace wenqu::retrieval {

std::string time_term(int64_t seconds) {
  char digits[24];
  std::snprintf(digits, sizeof digits, "t%016llx",
                static_cast<unsigned long long>(static_cast<uint64_t>(seconds) ^ uint64_t{1} << 63));
  return digits;
}

std::string attribute_term(std::string_view name, std::string_view value) {
  if (name.size() + value.size() > kMaxIdBytes) return {};
  return "a" + std::to_string(name.size()) + ":" + std::string(name) + std::string(value);
}

std::string principal_term(std::string_view principal) {
  return principal.size() > kMaxIdBytes ? std::string() : "p" + std::string(principal);
}

std::vector<std::string> filter_terms(const Document& document) {
  std::vector<std::string> terms;
  if (const auto time = parse_time(document.published_at)) terms.push_back(time_term(time->first));
  for (const auto& [name, value] : document.attributes) terms.push_back(attribute_term(name, value));
  if (!document.author.empty() && !document.attributes.contains("author")) terms.push_back(attribute_term("author", document.author));
  for (const std::string& principal : document.acl) terms.push_back(principal_term(principal));
  if (!document.acl.empty()) terms.emplace_back(kRestrictedTerm);
  std::sort(terms.begin(), terms.end());
  terms.erase(std::unique(terms.begin(), terms.end()), terms.end());
  std::erase(terms, std::string());
  return terms;
}

}  // namespace wenqu::retrieval
