#include "retrieval/index/postings_cache.h"

#include <lucene++/Lucene.h>
#include <lucene++/IndexInput.h>
#include <lucene++/SegmentReader.h>
#include <lucene++/SegmentTermDocs.h>
#include <lucene++/Term.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace wenqu::retrieval {
namespace {

using Lucene::newLucene;

// Bounds that were made for other lengths are used up to this much too high; then they are made anew.
constexpr float kLoosest = 1.05f;
// What an entry costs beside its tables: the key, the nodes of the maps.
constexpr size_t kEntryBytes = 320;
constexpr size_t kMostBytesOfPosting = 10;

[[noreturn]] void throw_damaged() {
  boost::throw_exception(Lucene::CorruptIndexException(L"a list of postings is damaged"));
}

size_t table_bytes(const PostingList& list) {
  return sizeof list + list.blocks() * (sizeof list.last[0] + sizeof list.end[0] + sizeof list.bound[0] + 2 * sizeof(void*) / PostingList::kChunk);
}

uint16_t round_up(float share) {
  return static_cast<uint16_t>(std::min(share, 1.0f) / PostingList::kBoundUnit) + 1;
}

// What the bounds made for `of` have to be multiplied with to hold for `wanted`.
float compare(const LengthTable& of, const LengthTable& wanted) {
  float most = 1;
  for (size_t code = 0; code < of.size(); ++code) {
    if (of[code] <= wanted[code]) continue;
    if (wanted[code] <= 0) return std::numeric_limits<float>::infinity();
    most = std::max(most, of[code] / wanted[code]);
  }
  // A little more than what was rounded away.
  return most == 1 ? 1 : most * 1.000001f;
}

}  // namespace

// Finds where the postings of a term lie: what Lucene++ itself knows of them, but does not tell.
class TermLookup : public Lucene::SegmentTermDocs {
 public:
  explicit TermLookup(const Lucene::SegmentReaderPtr& segment) : SegmentTermDocs(segment), segment_(segment) {}

  // Gives how many passages hold the term.
  uint32_t locate(TermField field, const std::wstring& term) {
    seek(newLucene<Lucene::Term>(Lucene::String(kTermFieldNames[static_cast<size_t>(field)]), term));
    if (df < 0 || df > segment_->maxDoc() || (df > 0 && currentFieldOmitTermFreqAndPositions)) throw_damaged();
    return static_cast<uint32_t>(df);
  }
  // After locate(), where the postings begin, and how many bytes they can have.
  int64_t start() const { return freqBasePointer; }
  size_t most_bytes() {
    const int64_t file = freqStream()->length() - freqBasePointer;
    // The table of skips follows the postings of long lists. Those of short ones are followed by the next list.
    const int64_t own = df < skipInterval ? static_cast<int64_t>(kMostBytesOfPosting) * df : skipPointer - freqBasePointer;
    if (freqBasePointer < 0 || own < df || file < df) throw_damaged();
    return static_cast<size_t>(std::min(file, own));
  }
  int32_t size() { return segment_->maxDoc(); }

 private:
  Lucene::SegmentReaderPtr segment_;
};

uint64_t PostingsCache::new_segment() {
  const std::lock_guard lock(mutex_);
  return ++segments_;
}

void PostingsCache::keep(const std::set<uint64_t>& segments) {
  const std::lock_guard lock(mutex_);
  for (auto entry = entries_.begin(); entry != entries_.end();) {
    if (segments.contains(entry->first.segment)) {
      ++entry;
      continue;
    }
    drop(*entry->second);
    entry = entries_.erase(entry);
  }
}

size_t PostingsCache::bytes() const {
  const std::lock_guard lock(mutex_);
  return table_bytes_ + posting_bytes_;
}

void PostingsCache::drop(Entry& entry) {
  for (size_t number = 0; number < entry.chunks.size(); ++number) {
    if (!entry.chunks[number]) continue;
    posting_bytes_ -= entry.chunks[number]->size();
    by_use_.erase(entry.uses[number]);
  }
  entry.chunks.clear();
  entry.dropped = true;
  table_bytes_ -= kEntryBytes + (entry.list ? table_bytes(*entry.list) : 0);
}

void PostingsCache::make_room(size_t more) {
  if (table_bytes_ + more <= budget_.tables) return;
  for (auto& [key, entry] : entries_) drop(*entry);
  entries_.clear();
}

void PostingsCache::keep_chunk(Entry& entry, uint32_t number, PostingChunk chunk) {
  if (entry.dropped || number >= entry.chunks.size() || entry.chunks[number] || chunk->size() > budget_.postings) return;
  while (posting_bytes_ + chunk->size() > budget_.postings) {
    auto& [oldest, its_number] = by_use_.back();
    posting_bytes_ -= oldest->chunks[its_number]->size();
    oldest->chunks[its_number].reset();
    by_use_.pop_back();
  }
  posting_bytes_ += chunk->size();
  by_use_.emplace_front(&entry, number);
  entry.uses[number] = by_use_.begin();
  entry.chunks[number] = std::move(chunk);
}

PostingsReader::PostingsReader(PostingsCache& cache, const Lucene::SegmentReaderPtr& segment, uint64_t number)
    : cache_(cache), segment_(segment), number_(number) {}

PostingsReader::~PostingsReader() = default;

TermLookup& PostingsReader::lookup() {
  if (!lookup_) lookup_ = newLucene<TermLookup>(segment_);
  return *lookup_;
}

uint32_t PostingsReader::holders(TermField field, const std::wstring& term) {
  Key key{number_, field, term};
  {
    const std::lock_guard lock(cache_.mutex_);
    if (const auto found = cache_.entries_.find(key); found != cache_.entries_.end()) return found->second->holders;
  }
  const auto entry = std::make_shared<Entry>();
  entry->holders = lookup().locate(field, term);
  const uint32_t holders = entry->holders;
  const std::lock_guard lock(cache_.mutex_);
  cache_.make_room(kEntryBytes);
  if (cache_.entries_.emplace(std::move(key), entry).second) cache_.table_bytes_ += kEntryBytes;
  return holders;
}

float PostingsReader::factor(TermField field, const std::shared_ptr<const LengthTable>& of, const LengthTable& wanted) {
  Factor& known = factors_[static_cast<size_t>(field)];
  if (known.of != of) known = {of, compare(*of, wanted)};
  return known.value;
}

Postings PostingsReader::find(TermField field, const std::wstring& term, const uint8_t* lengths, const LengthTable& table) {
  Key key{number_, field, term};
  Postings postings;
  std::shared_ptr<const LengthTable> same = factors_[static_cast<size_t>(field)].of;
  {
    const std::lock_guard lock(cache_.mutex_);
    if (const auto found = cache_.entries_.find(key); found != cache_.entries_.end()) {
      if (found->second->holders == 0) return postings;
      postings.entry_ = found->second;
      postings.list_ = found->second->list;
    }
  }
  if (postings.list_) {
    postings.bound_factor_ = factor(field, postings.list_->table, table);
    if (postings.bound_factor_ <= kLoosest) return postings;
  }
  if (!same || compare(*same, table) > 1) same = std::make_shared<const LengthTable>(table);
  ListRead read = read_list(key, lengths, std::move(same));
  postings.entry_ = std::make_shared<Entry>();
  postings.entry_->holders = read.list ? read.list->holders : 0;
  postings.entry_->list = postings.list_ = read.list;
  postings.bound_factor_ = read.list ? factor(field, read.list->table, table) : 1;
  const size_t bytes = kEntryBytes + (read.list ? table_bytes(*read.list) : 0);
  const std::lock_guard lock(cache_.mutex_);
  if (const auto before = cache_.entries_.find(key); before != cache_.entries_.end()) {
    cache_.drop(*before->second);
    cache_.entries_.erase(before);
  }
  cache_.make_room(bytes);
  cache_.entries_.emplace(std::move(key), postings.entry_);
  cache_.table_bytes_ += bytes;
  if (!read.list) return {};
  postings.entry_->chunks.resize(read.chunks.size());
  postings.entry_->uses.resize(read.chunks.size());
  for (size_t number = 0; number < read.chunks.size(); ++number)
    cache_.keep_chunk(*postings.entry_, static_cast<uint32_t>(number), std::move(read.chunks[number]));
  return postings;
}

std::vector<uint8_t> PostingsReader::read(int64_t start, size_t bytes) {
  std::vector<uint8_t> out(bytes);
  const Lucene::IndexInputPtr input = lookup().freqStream();
  input->seek(start);
  input->readBytes(out.data(), 0, static_cast<int32_t>(bytes), false);
  return out;
}

PostingsReader::ListRead PostingsReader::read_list(const Key& key, const uint8_t* lengths,
                                                   std::shared_ptr<const LengthTable> table) {
  ListRead out;
  TermLookup& found = lookup();
  const uint32_t holders = found.locate(key.field, key.term);
  if (holders == 0) return out;
  const size_t most = found.most_bytes();
  if (most > static_cast<size_t>(std::numeric_limits<int32_t>::max())) throw_damaged();
  const auto list = std::make_shared<PostingList>();
  list->holders = holders;
  list->start = found.start();
  list->table = std::move(table);
  const std::vector<uint8_t> bytes = read(list->start, most);
  const uint8_t* at = bytes.data();
  const uint8_t* const end = at + bytes.size();
  PostingBlock block;
  for (uint32_t done = 0; done < holders; done += static_cast<uint32_t>(block.size)) {
    at = decode_postings(at, end, list->before(list->blocks()), found.size(),
                         std::min<size_t>(PostingList::kBlock, holders - done), block);
    if (!at) throw_damaged();
    float most_share = 0;
    for (size_t i = 0; i < block.size; ++i) {
      const auto frequency = static_cast<float>(block.frequencies[i]);
      most_share = std::max(most_share, frequency / (frequency + (*list->table)[lengths[block.docs[i]]]));
    }
    list->last.push_back(block.docs[block.size - 1]);
    list->end.push_back(static_cast<uint32_t>(at - bytes.data()));
    list->bound.push_back(round_up(most_share));
    list->greatest_bound = std::max(list->greatest_bound, list->bound.back());
  }
  for (size_t first = 0; first < list->blocks(); first += PostingList::kChunk) {
    const size_t last = std::min(first + PostingList::kChunk, list->blocks()) - 1;
    out.chunks.push_back(std::make_shared<const std::vector<uint8_t>>(bytes.begin() + list->block_begin(first),
                                                                      bytes.begin() + list->end[last]));
  }
  out.list = list;
  return out;
}

PostingChunk PostingsReader::chunk(const Postings& postings, uint32_t number) {
  Entry& entry = *postings.entry_;
  {
    const std::lock_guard lock(cache_.mutex_);
    if (number < entry.chunks.size() && entry.chunks[number]) {
      cache_.by_use_.splice(cache_.by_use_.begin(), cache_.by_use_, entry.uses[number]);
      return entry.chunks[number];
    }
  }
  const PostingList& list = postings.list();
  const size_t first = size_t{number} * PostingList::kChunk;
  const size_t last = std::min(first + PostingList::kChunk, list.blocks()) - 1;
  auto chunk = std::make_shared<const std::vector<uint8_t>>(
      read(list.start + list.block_begin(first), list.end[last] - list.block_begin(first)));
  const std::lock_guard lock(cache_.mutex_);
  cache_.keep_chunk(entry, number, chunk);
  return chunk;
}

}  // namespace wenqu::retrieval
