// What clients send, parsed: the body of OpenAI's "response.create" with our additions under
// "wenqu". Schema: docs/protocol.md. Unknown members of OpenAI's part are ignored, but for those that would restrict what
// is found; unknown ones of ours, wrong types and values are errors that name the member. Nesting is limited to 32 levels.
//
// Thread safety: pure.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"
#include "sdk/assistant/request.h"

namespace wenqu::protocol {

struct ClientMessage {
  enum class Kind { create, cancel };
  Kind kind = Kind::create;
  assistant::AskRequest request;   // of create
  std::string stream_id;           // of create: echoed on every event; may be empty. Of cancel without response_id: what to cancel
  std::string response_id;         // of cancel
};

// Errors: invalid_argument, limit_exceeded, unsupported; where() is the member. stream_id: set to the message's also where it is
// refused; may be nullptr.
Result<ClientMessage> parse_client_message(std::string_view json, std::string* stream_id = nullptr);

// Puts what an object of the members "sources", "published_from", "published_until", "attributes" and "principals"
// says into the request. Errors: as above.
Status parse_filter(std::string_view json, assistant::AskRequest& request);

// Puts a list of messages {"role": "user" or "assistant", "content": ...}, oldest first, into the request as what was said
// before its question. Errors: as above.
Status parse_history(std::string_view json, assistant::AskRequest& request);

}  // namespace wenqu::protocol
