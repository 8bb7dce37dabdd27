// Option structs grow at their end, and callers may be older or newer than the library: a caller's
// struct is copied into one of our size, what it lacks being zero, which means the default.
#pragma once

#include <algorithm>
#include <cstring>

#include "base/status.h"

namespace wenqu::capi {

// `required`: bytes up to and including the last field of the first release.
template <typename Options>
Status copy_options(const Options* from, size_t required, Options& to) {
  if (!from) return Status(StatusCode::invalid_argument, "must not be NULL", "options");
  if (from->struct_size < required)
    return Status(StatusCode::struct_size, "is too small: set up the options with their INIT macro or init function",
                  "options.struct_size");
  std::memset(&to, 0, sizeof(to));
  std::memcpy(&to, from, std::min<size_t>(from->struct_size, sizeof(to)));
  return {};
}

template <typename Options>
Status init_options(Options* options, uint32_t struct_size, size_t required) {
  if (!options) return Status(StatusCode::invalid_argument, "must not be NULL", "options");
  if (struct_size < required) return Status(StatusCode::struct_size, "is too small", "struct_size");
  std::memset(static_cast<void*>(options), 0, struct_size);
  options->struct_size = struct_size;
  return {};
}

}  // namespace wenqu::capi
