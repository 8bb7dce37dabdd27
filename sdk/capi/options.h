// Option structs grow at their end, and callers may be older or newer than the library: a caller's
// struct is copied into one of our size, what it lacks being zero, which means the default.
// A new field begins where the struct ended: callers leave padding as it is. So none ends in padding, which each is asserted of.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/status.h"

namespace wenqu::capi {

inline constexpr size_t kMostOfOptions = 4096;   // bytes that a struct of a later version may have

// Whether a struct may have this size. Those of all versions are multiples of their alignment, and at each of these from
// `required` on, the bytes up to and including the last field of the first release, a field ends.
template <typename Options>
bool is_size_of(uint32_t struct_size, size_t required) {
  return struct_size >= required && struct_size % alignof(Options) == 0 && struct_size <= kMostOfOptions;
}

// Errors: struct_size; unsupported, where a later version's field that we do not know is set.
template <typename Options>
Status copy_options(const Options* from, size_t required, Options& to) {
  if (!from) return Status(StatusCode::invalid_argument, "must not be NULL", "options");
  if (!is_size_of<Options>(from->struct_size, required))
    return Status(StatusCode::struct_size, "is no size of the struct: set up the options with their INIT macro or init function",
                  "options.struct_size");
  const size_t known = std::min<size_t>(from->struct_size, sizeof(to));
  const char* const bytes = reinterpret_cast<const char*>(from);
  if (std::any_of(bytes + known, bytes + from->struct_size, [](char byte) { return byte != 0; }))
    return Status(StatusCode::unsupported, "a field is set that this version of the library does not know: leave it 0, or link a later version",
                  "options");
  std::memset(&to, 0, sizeof(to));
  std::memcpy(&to, from, known);
  return {};
}

template <typename Options>
Status init_options(Options* options, uint32_t struct_size, size_t required) {
  if (!options) return Status(StatusCode::invalid_argument, "must not be NULL", "options");
  if (!is_size_of<Options>(struct_size, required)) return Status(StatusCode::struct_size, "is no size of the struct", "struct_size");
  std::memset(static_cast<void*>(options), 0, struct_size);
  options->struct_size = struct_size;
  return {};
}

}  // namespace wenqu::capi
