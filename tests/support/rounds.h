// How much of their repeating tests do: all of it in builds for use, a quarter under sanitizers, which are slow and look for other
// defects than one more draw or place shows.
#pragma once

namespace wenqu::test {

#ifdef WENQU_SANITIZED
inline constexpr int kThinned = 4;
#else
inline constexpr int kThinned = 1;
#endif

// Of so many rounds.
constexpr int rounds(int all) { return (all + kThinned - 1) / kThinned; }

}  // namespace wenqu::test
