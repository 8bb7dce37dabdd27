#include "retrieval/analysis/simplified.h"

#include <array>
#include <cstdint>
#include <unordered_map>

namespace wenqu::retrieval {
namespace {

struct Pair {
  char32_t traditional;
  char32_t simplified;
};
constexpr Pair kPairs[] = {
#include "simplified_table.inc"
};

constexpr char32_t kFirst = 0x3400, kLast = 0x9FFF;

// The common planes by place, the rest by search.
struct Table {
  std::array<char32_t, kLast - kFirst + 1> common{};
  std::unordered_map<char32_t, char32_t> rare;

  Table() {
    for (char32_t c = kFirst; c <= kLast; ++c) common[c - kFirst] = c;
    for (const Pair& pair : kPairs) {
      if (pair.traditional <= kLast) common[pair.traditional - kFirst] = pair.simplified;
      else rare.emplace(pair.traditional, pair.simplified);
    }
  }
};

}  // namespace

char32_t simplified(char32_t c) {
  if (c < kFirst) return c;
  static const auto& table = *new const Table;   // never destroyed: a host may exit while searches run
  if (c <= kLast) return table.common[c - kFirst];
  if (c < 0x20000) return c;
  const auto found = table.rare.find(c);
  return found == table.rare.end() ? c : found->second;
}

}  // namespace wenqu::retrieval
