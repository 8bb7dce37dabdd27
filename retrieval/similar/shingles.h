// The overlapping pieces that a text is made of, as hashes: what two texts share of them says how much of their
// wording is the same. Thread safety: pure.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace wenqu::retrieval {

// Five neighbouring letters, digits or Chinese characters each; case, spaces and punctuation do not count.
inline constexpr size_t kShingleChars = 5;

// Sorted, each once. REQUIRES: valid UTF-8.
std::vector<uint64_t> shingles_of(std::string_view text);

// Its words that have digits, as hashes: numbers, dates, codes. Sorted, each once. REQUIRES: valid UTF-8.
std::vector<uint64_t> numbers_of(std::string_view text);

// The share of the smaller set that is in the other too; 0 when one is empty. REQUIRES: sorted, each once.
double containment(const std::vector<uint64_t>& a, const std::vector<uint64_t>& b);

}  // namespace wenqu::retrieval
