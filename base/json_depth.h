// How deep JSON is nested, looked at before it is parsed, so that a hostile text costs neither stack nor memory.
#pragma once

#include <cstddef>
#include <string_view>

namespace wenqu {

// Whether more than `limit` objects and arrays lie inside each other. Any bytes are accepted.
bool json_is_deeper(std::string_view json, size_t limit);

}  // namespace wenqu
