#include "base/http/url.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>

namespace wenqu {
namespace {

bool is_letter_or_digit(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }

Status invalid(const char* message, std::string_view text) {
  return Status(StatusCode::invalid_argument, message, redact_url(text));
}

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool percent_decode(std::string_view text, std::string& out) {
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    if (i + 2 >= text.size()) return false;
    const int high = hex_value(text[i + 1]), low = hex_value(text[i + 2]);
    if (high < 0 || low < 0) return false;
    out += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return std::none_of(out.begin(), out.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; });
}

// The scheme in small letters; empty when the text has none.
std::string scheme_of(std::string_view text) {
  const size_t end = text.find("://");
  if (end == text.npos || end == 0) return {};
  std::string scheme;
  for (const char c : text.substr(0, end)) {
    if (!is_letter_or_digit(c) && c != '+' && c != '-' && c != '.') return {};
    scheme += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  }
  return scheme;
}

}  // namespace

bool Url::is_loopback() const {
  in_addr address{};   // of 127.0.0.0/8, not a name that begins so
  return host == "localhost" || host == "::1" || (host.starts_with("127.") && ::inet_pton(AF_INET, host.c_str(), &address) == 1);
}

std::string Url::authority() const {
  const std::string name = host.find(':') == host.npos ? host : "[" + host + "]";
  return port == (tls ? 443 : 80) ? name : name + ":" + std::to_string(port);
}

std::string Url::to_string() const { return (tls ? "https://" : "http://") + authority() + path; }

bool looks_like_url(std::string_view text) { return !scheme_of(text).empty(); }

Result<Url> parse_url(std::string_view text) {
  const std::string scheme = scheme_of(text);
  if (scheme != "http" && scheme != "https") return invalid("an address must begin with https:// or http://", text);
  if (std::any_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) <= 0x20 || c == 0x7F; }))
    return invalid("an address has no spaces or control characters", text);
  if (text.find_first_of("?#") != text.npos) return invalid("an address has no query and no fragment here", text);
  Url url;
  url.tls = scheme == "https";
  std::string_view rest = text.substr(text.find("://") + 3);
  const size_t slash = rest.find('/');
  if (slash != rest.npos) url.path = rest.substr(slash);
  while (!url.path.empty() && url.path.back() == '/') url.path.pop_back();
  rest = rest.substr(0, slash);
  if (const size_t at = rest.rfind('@'); at != rest.npos) {
    const std::string_view user = rest.substr(0, at);
    if (user.find(':') != user.npos)
      return invalid(
          "a password in an address is seen by everybody who lists the processes: put it into WENQU_REMOTE_PASSWORD or "
          "a file of credentials",
          text);
    if (!percent_decode(user, url.user)) return invalid("the user in the address is not well formed", text);
    rest = rest.substr(at + 1);
  }
  std::string_view port;
  if (rest.starts_with('[')) {
    const size_t end = rest.find(']');
    if (end == rest.npos) return invalid("the address lacks the \"]\" after an IPv6 address", text);
    url.host = rest.substr(1, end - 1);
    if (url.host.find_first_not_of("0123456789abcdefABCDEF:.") != url.host.npos)
      return invalid("this is no IPv6 address", text);
    rest = rest.substr(end + 1);
    if (!rest.empty() && rest.front() != ':') return invalid("something stands between the host and the port", text);
    if (!rest.empty()) port = rest.substr(1);
  } else {
    const size_t colon = rest.find(':');
    for (const char c : rest.substr(0, colon)) {
      if (!is_letter_or_digit(c) && c != '-' && c != '.' && c != '_')
        return invalid("the host is not well formed", text);
      url.host += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    }
    if (colon != rest.npos) port = rest.substr(colon + 1);
  }
  if (url.host.empty()) return invalid("the address names no host", text);
  url.port = url.tls ? 443 : 80;
  if (!port.empty()) {
    const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), url.port);
    if (error != std::errc() || end != port.data() + port.size() || url.port == 0)
      return invalid("the port must be 1 to 65535", text);
  }
  return url;
}

std::string redact_url(std::string_view text) {
  const size_t begin = text.find("://");
  if (begin == text.npos) return std::string(text);
  // Up to the last "@", also behind a "/": a password may hold one that should have been encoded.
  const size_t at = text.rfind('@');
  if (at == text.npos || at < begin + 3) return std::string(text);
  return std::string(text.substr(0, begin + 3)) + "***" + std::string(text.substr(at));
}

std::string percent_encode(std::string_view text) {
  constexpr char digits[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    if (is_letter_or_digit(c) || c == '-' || c == '.' || c == '_' || c == '~') {
      out += c;
    } else {
      out += '%';
      out += digits[static_cast<unsigned char>(c) >> 4];
      out += digits[static_cast<unsigned char>(c) & 15];
    }
  }
  return out;
}

}  // namespace wenqu
