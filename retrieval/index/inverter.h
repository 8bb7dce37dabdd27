// Documents that were added and are not in a segment yet, inverted as they come: each term of each field has its
// postings, in the form in which they will lie on disk, in pieces that double in size.
//
// Thread safety: one thread at a time.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/status.h"
#include "retrieval/analysis/analyzer.h"
#include "retrieval/document.h"
#include "retrieval/index/deletions.h"
#include "retrieval/index/segment_output.h"
#include "retrieval/passage.h"

namespace wenqu::retrieval {

class Inverter {
 public:
  Inverter() { clear(); }

  // The run of a document: its record, then its passages. One of the same id has to be removed before.
  void begin_document(const Document& document, const std::vector<Term>& title);
  void add_passage(const Passage& passage, const std::vector<Term>& terms);
  // Gives whether the document was there.
  bool remove(const std::string& document_id);

  // Lucene documents, deleted ones included.
  uint32_t size() const { return size_; }
  // The bits of deleted ones.
  Deletions deletions() const;
  // Roughly what it holds in memory.
  size_t bytes() const;
  // What a segment of it is larger than.
  size_t stored_bytes() const { return stored_.size(); }
  void clear();

  // Writes all as a segment, finish() included.
  Status write(SegmentOutput& output) const;

 private:
  struct Run {
    uint32_t begin = 0;
    uint32_t end = 0;
  };
  // A term that is looked for.
  struct Key {
    std::string_view text;
    uint64_t start = 0;       // its first bytes, as a number that sorts as they do
    uint32_t hash = 0;
    uint32_t field = 0;
  };
  // Where a term may be found in the table. Most that do not fit are told by the hash, without their entry.
  struct Slot {
    uint32_t hash = 0;
    uint32_t entry = 0;       // its number + 1; 0: free
  };
  // A term of a field. Its last posting is kept apart until it is known how often the passage holds it.
  struct Entry {
    uint64_t start = 0;       // of Key; all there is to compare of most
    uint32_t text = 0;        // place of its bytes
    uint16_t text_size = 0;
    uint8_t field = 0;
    uint8_t piece = 0;        // which of its pieces is being filled
    uint32_t documents = 0;   // that hold it, the last one included
    uint32_t last = 0;        // the last of them
    uint32_t frequency = 0;   // in the last
    uint32_t before = 0;      // the one before the last
    uint32_t first = 0;       // place of its first piece
    uint32_t at = 0;          // where its next byte goes
    uint32_t end = 0;         // of the piece; there the place of the next one is written
  };

  static Key key_of(uint32_t field, std::string_view text);
  uint32_t find_or_add(const Key& key);
  void add_posting(uint32_t entry);
  void add_term(uint32_t field, std::string_view text) { add_posting(find_or_add(key_of(field, text))); }
  void begin_lucene_document(std::string_view id_term, std::string_view kind);
  void put_byte(Entry& entry, uint8_t byte);
  void put_number(Entry& entry, uint64_t value);
  void grow_table();
  uint32_t allocate(uint32_t bytes);
  uint8_t* at(uint32_t place) { return blocks_[place / kBlockBytes].get() + place % kBlockBytes; }
  const uint8_t* at(uint32_t place) const { return blocks_[place / kBlockBytes].get() + place % kBlockBytes; }
  std::string_view text_of(const Entry& entry) const {
    return {reinterpret_cast<const char*>(at(entry.text)), entry.text_size};
  }
  std::vector<uint32_t> sorted(uint32_t field) const;
  void write_postings(const Entry& entry, SegmentOutput& output) const;

  static constexpr uint32_t kBlockBytes = 1 << 16;

  std::vector<std::unique_ptr<uint8_t[]>> blocks_;
  uint32_t block_used_ = 0;               // of the last block
  std::vector<Entry> entries_;
  std::vector<Slot> table_;               // by hash
  std::vector<Key> keys_;                 // of the passage that is being added
  std::string stored_;                    // stored fields of all documents, one after the other
  std::vector<uint64_t> stored_begins_;
  LengthCodes lengths_;
  uint32_t size_ = 0;

  std::string id_term_;                   // of the document that was begun
  std::string kind_;
  std::vector<uint32_t> title_entries_;   // its title's terms, which each of its passages holds
  std::unordered_map<std::string, Run> runs_;
  Run* run_ = nullptr;
  std::vector<Run> deleted_;
};

// A document's id as a term: each of its bytes becomes one character.
std::string id_as_term(std::string_view id);

}  // namespace wenqu::retrieval
