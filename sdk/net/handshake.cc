#include "sdk/net/handshake.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string>

namespace wenqu::net {
namespace {

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) { return lower(x) == lower(y); });
}

bool is_listed(std::string_view text, const std::vector<std::string>& list) {
  return std::any_of(list.begin(), list.end(), [&](const auto& entry) { return equal_ignoring_case(text, entry); });
}

bool is_port(std::string_view text) {
  return !text.empty() && text.size() <= 5 && text.find_first_not_of("0123456789") == std::string_view::npos;
}

// The host of "host", "host:port" or "[v6]:port"; nothing when it is none of these.
std::optional<std::string_view> without_port(std::string_view authority) {
  size_t end = 0;
  if (authority.starts_with('[')) {
    end = authority.find(']');
    if (end == std::string_view::npos) return std::nullopt;
    ++end;
  } else {
    end = std::min(authority.find(':'), authority.size());
  }
  const std::string_view port = authority.substr(end);
  if (end == 0 || (!port.empty() && (port[0] != ':' || !is_port(port.substr(1))))) return std::nullopt;
  return authority.substr(0, end);
}

bool is_loopback_name(std::string_view host) {
  in_addr address{};   // 127.0.0.0/8
  return equal_ignoring_case(host, "localhost") || host == "[::1]" ||
         (host.starts_with("127.") && ::inet_pton(AF_INET, std::string(host).c_str(), &address) == 1);
}

bool equal_in_constant_time(std::string_view given, std::string_view secret) {
  unsigned char difference = given.size() == secret.size() ? 0 : 1;
  for (size_t i = 0; i < given.size(); ++i)
    difference |= static_cast<unsigned char>(given[i] ^ secret[i % secret.size()]);
  return difference == 0;
}

std::string_view trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

// Calls `visit` with each entry of a comma-separated header; stops when it returns true.
template <typename Visit>
bool any_entry(std::string_view list, Visit visit) {
  while (!list.empty()) {
    const size_t comma = std::min(list.find(','), list.size());
    if (visit(trimmed(list.substr(0, comma)))) return true;
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return false;
}

}  // namespace

Status validate_token(std::string_view token) {
  if (token.size() < kMinTokenBytes)
    return Status(StatusCode::invalid_argument,
                  fmt::format("must have {} characters at least, so that it cannot be guessed", kMinTokenBytes), "token");
  // What both a header value and a subprotocol name can carry (RFC 7230, token).
  const auto fits = [](char c) {
    return (c >= '0' && c <= '9') || (lower(c) >= 'a' && lower(c) <= 'z') ||
           std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
  };
  if (!std::all_of(token.begin(), token.end(), fits))
    return Status(StatusCode::invalid_argument, "may hold letters, digits and !#$%&'*+-.^_`|~ only", "token");
  return {};
}

bool host_allowed(std::string_view host, const AccessPolicy& policy, std::string_view own) {
  const std::optional<std::string_view> name = without_port(host);
  if (!name) return false;
  if (is_loopback_name(*name) || equal_ignoring_case(*name, own) || is_listed(*name, policy.allowed_hosts)) return true;
  return !policy.loopback && policy.allowed_hosts.empty();
}

bool origin_allowed(std::string_view origin, const AccessPolicy& policy) {
  if (is_listed(origin, policy.allowed_origins)) return true;
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (!equal_ignoring_case(origin.substr(0, scheme.size()), scheme)) continue;
    const std::optional<std::string_view> name = without_port(origin.substr(scheme.size()));
    return name && is_loopback_name(*name);
  }
  return false;
}

bool token_allowed(std::string_view authorization, std::string_view subprotocols, const AccessPolicy& policy) {
  if (policy.token.empty()) return true;
  constexpr std::string_view kScheme = "Bearer ", kPrefix = "bearer.";
  if (equal_ignoring_case(authorization.substr(0, kScheme.size()), kScheme))
    return equal_in_constant_time(trimmed(authorization.substr(kScheme.size())), policy.token);
  return any_entry(subprotocols, [&](std::string_view entry) {
    return entry.starts_with(kPrefix) && equal_in_constant_time(entry.substr(kPrefix.size()), policy.token);
  });
}

bool offers_subprotocol(std::string_view subprotocols, std::string_view name) {
  return any_entry(subprotocols, [&](std::string_view entry) { return entry == name; });
}

}  // namespace wenqu::net
