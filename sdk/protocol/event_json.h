// The one serializer behind every door: an Event as one JSON object, in the shape of OpenAI's
// Responses streaming events, with our additions under "wenqu". Schema: docs/protocol.md.
//
// Thread safety: pure.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"
#include "retrieval/retriever.h"
#include "sdk/assistant/event.h"

namespace wenqu::protocol {

// The event without a line break, valid UTF-8 (ill-formed text is repaired).
std::string event_to_json(const assistant::Event& event);

// {"type":"error","code":...,"message":...,"param":...}: what went wrong outside of any response; with
// "wenqu":{"retry_after_ms":...} where trying again later may help.
std::string error_to_json(const Status& error, int64_t retry_after_ms = 0);

// The event or error with "stream_id" as its last member; unchanged when there is none.
// REQUIRES: `json` is an object with at least one member.
std::string with_stream_id(std::string json, std::string_view stream_id);

// {"object":"wenqu.search","query":...,"total":...,"results":[...]}
std::string search_to_json(const std::string& query, const retrieval::SearchResponse& response);

}  // namespace wenqu::protocol
