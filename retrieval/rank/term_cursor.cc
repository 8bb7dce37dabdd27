#include "retrieval/rank/term_cursor.h"

#include <algorithm>

namespace wenqu::retrieval {
namespace {

// How many of a block's passages are below `doc`. Without branches, because nothing about the place can be guessed: first
// the quarter, then each of it.
size_t place_of(int32_t doc, const std::array<int32_t, PostingList::kBlock>& docs) {
  constexpr size_t kPart = PostingList::kBlock / 4;
  const size_t part = kPart * (size_t{docs[kPart - 1] < doc} + size_t{docs[2 * kPart - 1] < doc} + size_t{docs[3 * kPart - 1] < doc});
  int32_t below = 0;   // as wide as what is compared, so that several are compared at once
  for (size_t i = 0; i < kPart; ++i) below += docs[part + i] < doc ? 1 : 0;
  return part + static_cast<size_t>(below);
}

}  // namespace

Saturation::Saturation(const LengthTable& table) : table_(table) {
  for (uint32_t frequency = 1; frequency <= kKept; ++frequency)
    for (size_t length = 0; length < table.size(); ++length)
      kept_[frequency - 1][length] = compute(frequency, static_cast<uint8_t>(length));
}

bool TermCursor::advance(int32_t doc) {
  const std::vector<int32_t>& last = list().last;
  if (number_ < last.size() && last[number_] >= doc) return true;
  // Most steps are short: double them until one is too long.
  size_t step = 1, low = number_;
  while (low + step < last.size() && last[low + step] < doc) {
    low += step;
    step *= 2;
  }
  number_ = static_cast<size_t>(
      std::lower_bound(last.begin() + static_cast<ptrdiff_t>(std::min(low, last.size())),
                       last.begin() + static_cast<ptrdiff_t>(std::min(low + step + 1, last.size())), doc) -
      last.begin());
  return number_ < last.size();
}

void TermCursor::decode() {
  const size_t chunk = number_ / PostingList::kChunk;
  if (chunk != chunk_number_) {
    chunk_ = reader_->chunk(postings_, static_cast<uint32_t>(chunk));
    chunk_number_ = chunk;
  }
  const uint32_t first = list().block_begin(chunk * PostingList::kChunk);
  const uint8_t* const bytes = chunk_->data();
  const uint8_t* const end = bytes + chunk_->size();
  // The file may have been damaged since the list was first read.
  if (decode_postings(bytes + (list().block_begin(number_) - first), end, list().before(number_),
                      list().last[number_] + 1, list().block_size(number_), block_) != bytes + (list().end[number_] - first))
    boost::throw_exception(Lucene::CorruptIndexException(L"a list of postings changed while it was searched"));
  decoded_ = number_;
  position_ = 0;
}

// Whether there is a posting in [begin, end) from the block we are at on; moves to it.
bool TermCursor::next_below(int32_t begin, int32_t end) {
  for (; number_ < list().blocks() && list().before(number_) + 1 < end; ++number_) {
    if (decoded_ != number_) decode();
    while (position_ < block_.size && block_.docs[position_] < begin) ++position_;
    if (position_ < block_.size) return block_.docs[position_] < end;
  }
  return false;
}

TermCursor::Outlook TermCursor::outlook(int32_t begin, int32_t end) {
  if (!advance(begin) || list().before(number_) + 1 >= end) return {};
  size_t last = number_;
  uint16_t bound = list().bound[number_];
  while (list().last[last] < end - 1 && last + 1 < list().blocks()) bound = std::max(bound, list().bound[++last]);
  if (last == number_) {
    // A block that reaches far beyond may have nothing here.
    if (!next_below(begin, end)) return {};
    const int64_t span = list().last[number_] - list().before(number_);
    return {units_of_bound(bound), static_cast<uint32_t>(1 + int64_t{PostingList::kBlock} * (end - begin) / std::max<int64_t>(span, end - begin))};
  }
  return {units_of_bound(bound), static_cast<uint32_t>((last - number_) * PostingList::kBlock)};
}

void TermCursor::add(int32_t begin, int32_t end, uint32_t* units_of) {
  visit(begin, end, [&](int32_t doc, uint32_t frequency) { units_of[doc - begin] += units(frequency, doc); });
}

uint32_t TermCursor::units_of(int32_t doc, uint32_t needed) {
  if (!advance(doc) || list().before(number_) >= doc) return 0;
  // Told without reading the block.
  if (needed > units_of_bound(list().bound[number_])) return 0;
  if (decoded_ != number_) decode();
  // Whether the passage is there cannot be guessed, so nothing branches on it.
  const size_t place = std::min(place_of(doc, block_.docs), PostingList::kBlock - 1);
  const uint32_t there = block_.docs[place] == doc ? UINT32_MAX : 0;
  return units(block_.frequencies[place], doc) & there;
}

}  // namespace wenqu::retrieval
