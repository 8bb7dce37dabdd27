// How well a budget of memory serves a mixture's experts.
#pragma once

#include <cstdint>

namespace wenqu::engine {

struct ExpertUse {
  uint64_t hits = 0;            // experts that a batch wanted and that were in memory
  uint64_t misses = 0;          // and that were not
  uint64_t bytes_read = 0;      // brought in for that, from disk or from the system's cache of files
  double seconds_waited = 0;    // in which a batch could not go on because of it
  uint64_t bytes_in_memory = 0;

  double hit_rate() const { return hits + misses > 0 ? static_cast<double>(hits) / static_cast<double>(hits + misses) : 1; }
};

}  // namespace wenqu::engine
