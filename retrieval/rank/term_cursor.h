// Walks the postings of one term in one field of one segment, and says what each adds to a passage's score.
//
// Scores are whole numbers of units, a fraction of a point that the search chooses: sums of them are the same in any
// order, so whatever is left out because it cannot matter, the scores and the order of the rest stay exactly the same.
//
// Throws what Lucene++ throws. Thread safety: one thread at a time.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "retrieval/index/postings_cache.h"

namespace wenqu::retrieval {

// frequency / (frequency + table[length]): how much of a term's weight a passage gets. Between 0 and 1.
class Saturation {
 public:
  Saturation() = default;
  explicit Saturation(const LengthTable& table);

  float operator()(uint32_t frequency, uint8_t length) const {
    return frequency <= kKept ? kept_[frequency - 1][length] : compute(frequency, length);
  }
  const LengthTable& table() const { return table_; }

 private:
  static constexpr uint32_t kKept = 8;  // frequencies above are rare

  float compute(uint32_t frequency, uint8_t length) const {
    return static_cast<float>(frequency) / (static_cast<float>(frequency) + table_[length]);
  }

  LengthTable table_{};
  std::array<LengthTable, kKept> kept_{};
};

class TermCursor {
 public:
  // `weight` is what a passage that is full of the term would get, in units. REQUIRES: reader, saturation and lengths
  // (the codes of the segment's passages) outlive it; postings are of the reader
  TermCursor(PostingsReader& reader, Postings postings, float weight, const Saturation& saturation, const uint8_t* lengths)
      : reader_(&reader), postings_(std::move(postings)), weight_(weight), saturation_(&saturation), lengths_(lengths) {}

  // Passages are of the segment; calls go from lower ones to higher ones only, but for those of one window.

  // The most a passage in [begin, end) can get, 0 when none holds the term; and how many may hold it, about.
  struct Outlook {
    uint32_t bound = 0;
    uint32_t postings = 0;
  };
  Outlook outlook(int32_t begin, int32_t end);
  // Adds what passages in [begin, end) get to units[passage - begin].
  void add(int32_t begin, int32_t end, uint32_t* units);
  // What passage `doc` gets, 0 when it does not hold the term; some number below `needed` when it gets less than that.
  uint32_t units_of(int32_t doc, uint32_t needed);
  // Calls visit(passage, frequency) for passages in [begin, end).
  template <typename Visit>
  void visit(int32_t begin, int32_t end, Visit&& visit) {
    if (!advance(begin)) return;
    while (next_below(begin, end)) {
      for (; position_ < block_.size && block_.docs[position_] < end; ++position_)
        visit(block_.docs[position_], block_.frequencies[position_]);
      if (position_ < block_.size) return;
      ++number_;
    }
  }

 private:
  const PostingList& list() const { return postings_.list(); }
  uint32_t units(uint32_t frequency, int32_t doc) const {
    return 1 + static_cast<uint32_t>(weight_ * (*saturation_)(frequency, lengths_[doc]));
  }
  uint32_t units_of_bound(uint16_t bound) const {
    return 1 + static_cast<uint32_t>(weight_ * (static_cast<float>(bound) * PostingList::kBoundUnit * postings_.bound_factor()));
  }
  bool advance(int32_t doc);     // to the block that may hold `doc`; false when there is none
  bool next_below(int32_t begin, int32_t end);
  void decode();                 // the block we are at

  PostingsReader* reader_;
  Postings postings_;
  float weight_;
  const Saturation* saturation_;
  const uint8_t* lengths_;
  size_t number_ = 0;                         // of the block we are at
  size_t decoded_ = SIZE_MAX;                 // of the block in block_
  size_t position_ = 0;                       // in it
  PostingChunk chunk_;
  size_t chunk_number_ = SIZE_MAX;
  PostingBlock block_;
};

}  // namespace wenqu::retrieval
