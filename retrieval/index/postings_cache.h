// What was read of the postings, kept for the next search: which lists there are and their tables (PostingList), and
// as much of the postings themselves as a budget allows.
//
// A list belongs to a segment, which never changes; so the cache outlives commits, and what stayed the same in them
// need not be read again.
//
// Thread safety: PostingsCache may be used by any number of threads; a PostingsReader belongs to one.
#pragma once

#include <lucene++/Lucene.h>

#include <array>
#include <list>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "retrieval/index/posting_list.h"
#include "retrieval/index/schema.h"

namespace wenqu::retrieval {

class TermLookup;

using PostingChunk = std::shared_ptr<const std::vector<uint8_t>>;

class PostingsCache {
 public:
  struct Budget {
    size_t tables = size_t{32} << 20;     // bytes; when they are more, all is dropped
    size_t postings = size_t{24} << 20;   // bytes; what was used longest ago goes first
  };
  PostingsCache() : PostingsCache(Budget()) {}
  explicit PostingsCache(Budget budget) : budget_(budget) {}

  // A number for a segment that was not met before.
  uint64_t new_segment();
  // Drops what is of other segments.
  void keep(const std::set<uint64_t>& segments);
  // What it holds now.
  size_t bytes() const;

 private:
  friend class PostingsReader;
  friend class Postings;
  struct Entry;
  using Uses = std::list<std::pair<Entry*, uint32_t>>;  // chunks

  // A list, or that there is none. Guarded by mutex_ but for `list`, which stays as it is once it is there.
  struct Entry {
    uint32_t holders = 0;
    std::shared_ptr<const PostingList> list;  // null until the postings are asked for
    std::vector<PostingChunk> chunks;         // null where not kept
    std::vector<Uses::iterator> uses;         // of the chunks that are kept
    bool dropped = false;                     // the cache does not know it any more
  };
  struct Key {
    uint64_t segment = 0;
    TermField field{};
    std::wstring term;
    bool operator==(const Key&) const = default;
  };
  struct KeyHash {
    size_t operator()(const Key& key) const {
      return std::hash<std::wstring>()(key.term) ^
             (key.segment * kTermFields + static_cast<size_t>(key.field)) * 0x9E3779B97F4A7C15;
    }
  };

  // All REQUIRE mutex_ to be held.
  void drop(Entry& entry);
  void keep_chunk(Entry& entry, uint32_t number, PostingChunk chunk);
  void make_room(size_t table_bytes);

  const Budget budget_;
  mutable std::mutex mutex_;
  uint64_t segments_ = 0;
  std::unordered_map<Key, std::shared_ptr<Entry>, KeyHash> entries_;
  Uses by_use_;                                // the one used last in front
  size_t table_bytes_ = 0;
  size_t posting_bytes_ = 0;
};

// The postings of a term in one field of one segment.
class Postings {
 public:
  Postings() = default;  // of a term that no passage holds

  explicit operator bool() const { return entry_ != nullptr; }
  const PostingList& list() const { return *list_; }
  // A bound of the list times this holds for the table it was asked with.
  float bound_factor() const { return bound_factor_; }

 private:
  friend class PostingsReader;
  std::shared_ptr<PostingsCache::Entry> entry_;
  std::shared_ptr<const PostingList> list_;
  float bound_factor_ = 1;
};

// Reads postings of one segment, through the cache. Throws what Lucene++ throws.
class PostingsReader {
 public:
  // `number` is the cache's for the segment. REQUIRES: cache and segment outlive it
  PostingsReader(PostingsCache& cache, const Lucene::SegmentReaderPtr& segment, uint64_t number);
  ~PostingsReader();

  // How many passages hold the term, deleted ones included.
  uint32_t holders(TermField field, const std::wstring& term);
  // `lengths` are the codes of the field's length by passage. `table` is what the bounds shall hold for.
  Postings find(TermField field, const std::wstring& term, const uint8_t* lengths, const LengthTable& table);
  // The bytes of blocks [number * kChunk, (number + 1) * kChunk).
  PostingChunk chunk(const Postings& postings, uint32_t number);

 private:
  using Key = PostingsCache::Key;
  using Entry = PostingsCache::Entry;

  struct ListRead {
    std::shared_ptr<PostingList> list;
    std::vector<PostingChunk> chunks;
  };
  TermLookup& lookup();
  std::vector<uint8_t> read(int64_t start, size_t bytes);
  ListRead read_list(const Key& key, const uint8_t* lengths, std::shared_ptr<const LengthTable> table);
  float factor(TermField field, const std::shared_ptr<const LengthTable>& of, const LengthTable& wanted);

  PostingsCache& cache_;
  const Lucene::SegmentReaderPtr& segment_;
  const uint64_t number_;
  boost::shared_ptr<TermLookup> lookup_;  // made when something is not in the cache
  struct Factor {
    std::shared_ptr<const LengthTable> of;
    float value = 1;
  };
  std::array<Factor, kTermFields> factors_;
};

}  // namespace wenqu::retrieval
