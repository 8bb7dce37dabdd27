// What a fuzz target promises: a property that does not hold ends the process like any other finding.
#pragma once

#include <cstdio>

#define WENQU_FUZZ_CHECK(property)                                                           \
  do {                                                                                       \
    if (!(property)) {                                                                       \
      std::fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #property);     \
      __builtin_trap();                                                                      \
    }                                                                                        \
  } while (0)
