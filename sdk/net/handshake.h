// Who may open a websocket: the checks made on the headers of the upgrade request, before anything
// is granted. A web page the user happens to visit can reach a server on loopback, so Origin tells
// pages from programs, Host stops a foreign name that was rebound to 127.0.0.1, and a token (always
// needed beyond loopback) tells the user's own clients from everybody else's.
//
// Thread safety: pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace wenqu::net {

struct AccessPolicy {
  bool loopback = true;                      // the server listens on loopback only
  std::vector<std::string> allowed_origins;  // exact, as browsers send them: "https://example.com"
  std::vector<std::string> allowed_hosts;    // names without port; besides loopback's
  std::string token;                         // empty: none is asked for
};

// The name websocket clients may offer as their subprotocol; it is chosen when they do.
inline constexpr std::string_view kSubprotocol = "wenqu.v1";
inline constexpr size_t kMinTokenBytes = 16;

// Errors: invalid_argument for a token too short to be secret or with bytes no header can carry.
Status validate_token(std::string_view token);

// "127.0.0.1:8080" and "localhost" pass everywhere, as nobody can have them rebound, and so does `own`, the address the client
// has reached. On loopback "evil.com" and "localhost." do not; elsewhere every name does, unless some are listed.
bool host_allowed(std::string_view host, const AccessPolicy& policy, std::string_view own = {});

// Of a request that has the header; one without comes from a program, not from a web page.
bool origin_allowed(std::string_view origin, const AccessPolicy& policy);

// The token as "Authorization: Bearer T", or, for browsers, as the subprotocol "bearer.T". The time
// taken does not tell how much of a wrong token was right.
bool token_allowed(std::string_view authorization, std::string_view subprotocols, const AccessPolicy& policy);

// Whether the comma-separated list of subprotocols has `name`.
bool offers_subprotocol(std::string_view subprotocols, std::string_view name);

}  // namespace wenqu::net
