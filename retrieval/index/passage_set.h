// A set of passages of one snapshot, by the numbers of their Lucene documents. Immutable where it is shared.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace wenqu::retrieval {

class PassageSet {
 public:
  // Empty, for a snapshot of so many Lucene documents.
  explicit PassageSet(size_t documents) : words_((documents + 63) / 64) {}

  // REQUIRES: doc is a number of the snapshot
  bool contains(int32_t doc) const { return (words_[static_cast<size_t>(doc) / 64] >> (doc % 64) & 1) != 0; }
  void insert(int32_t doc) { words_[static_cast<size_t>(doc) / 64] |= uint64_t{1} << (doc % 64); }
  // All REQUIRE that `other` is of the same snapshot.
  void keep_only(const PassageSet& other) {
    for (size_t i = 0; i < words_.size(); ++i) words_[i] &= other.words_[i];
  }
  void add(const PassageSet& other) {
    for (size_t i = 0; i < words_.size(); ++i) words_[i] |= other.words_[i];
  }
  void remove(const PassageSet& other) {
    for (size_t i = 0; i < words_.size(); ++i) words_[i] &= ~other.words_[i];
  }

  size_t count() const {
    size_t sum = 0;
    for (const uint64_t word : words_) sum += static_cast<size_t>(std::popcount(word));
    return sum;
  }
  size_t bytes() const { return sizeof *this + words_.size() * sizeof words_[0]; }

 private:
  std::vector<uint64_t> words_;
};

}  // namespace wenqu::retrieval
