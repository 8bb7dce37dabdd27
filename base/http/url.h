// Addresses of HTTP servers, and how they are shown: never with what lets somebody in.
//
// Thread safety: pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"

namespace wenqu {

struct Url {
  bool tls = false;
  std::string host;  // a name or an address, IPv6 without its brackets
  uint16_t port = 0;
  std::string path;  // empty or from "/" on, without a "/" at its end; as it was given
  std::string user;  // decoded; may be empty

  bool is_loopback() const;
  // "host", or "host:port" where the port is not the usual one of the scheme.
  std::string authority() const;
  // "https://host:9200/path": without the user.
  std::string to_string() const;
};

// Whether the text is meant as an address: "scheme://..." of any scheme.
bool looks_like_url(std::string_view text);

// "http://" or "https://", [user@]host[:port][/path]; the port is 80 or 443 where none is named.
// Errors: invalid_argument: another scheme, no host, a query or fragment, control characters or spaces, and a password,
// which everybody would see who lists the processes. The message does not repeat what stands before "@".
Result<Url> parse_url(std::string_view text);

// The text with what stands between "://" and "@" replaced by "***".
std::string redact_url(std::string_view text);

// Percent-encodes all but letters, digits and "-._~".
std::string percent_encode(std::string_view text);

}  // namespace wenqu
