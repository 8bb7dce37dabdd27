#include "retrieval/index/inverter.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "base/utf8.h"
#include "retrieval/index/filter_terms.h"
#include "retrieval/index/length_code.h"
#include "retrieval/index/record.h"
#include "retrieval/index/schema.h"
#include "retrieval/store/coding.h"
#include "retrieval/store/lucene_call.h"

namespace wenqu::retrieval {
namespace {

// Most terms are rare, so pieces begin small. The last four bytes of each lead to the next.
constexpr std::array<uint32_t, 8> kPieceBytes = {10, 16, 32, 64, 128, 256, 512, 1024};
constexpr uint32_t kLinkBytes = 4;
// Terms between asking the memory for an entry and using it.
constexpr size_t kAhead = 8;
constexpr size_t kFirstTable = size_t{1} << 14;

uint32_t hash_of(uint32_t field, std::string_view text) {
  uint64_t hash = (field + 1) * 0x9E3779B97F4A7C15u;
  while (!text.empty()) {
    uint64_t word = 0;
    const size_t part = std::min<size_t>(text.size(), 8);
    std::memcpy(&word, text.data(), part);
    hash = (hash ^ word) * 0xD6E8FEB86659FD93u;
    hash ^= hash >> 32;
    text.remove_prefix(part);
  }
  hash *= 0xD6E8FEB86659FD93u;
  return static_cast<uint32_t>(hash >> 32);
}

// The first bytes as a number that sorts as they do.
uint64_t first_bytes(std::string_view text) {
  uint64_t value = 0;
  for (size_t i = 0; i < 8; ++i) value = value << 8 | (i < text.size() ? static_cast<uint8_t>(text[i]) : 0);
  return value;
}

}  // namespace

std::string id_as_term(std::string_view id) {
  std::string term;
  for (const char c : id) utf8_append(term, static_cast<unsigned char>(c));
  return term;
}

void Inverter::clear() {
  blocks_.clear();
  block_used_ = kBlockBytes;
  entries_.clear();
  table_.assign(kFirstTable, Slot());
  stored_.clear();
  stored_begins_.clear();
  for (std::string& codes : lengths_) codes.clear();
  size_ = 0;
  runs_.clear();
  run_ = nullptr;
  deleted_.clear();
  title_entries_.clear();
}

size_t Inverter::bytes() const {
  return blocks_.size() * kBlockBytes + entries_.size() * sizeof(Entry) + table_.size() * sizeof(Slot) +
         stored_.size() + size_t{size_} * (sizeof(uint64_t) + kTermFields) + runs_.size() * 96;
}

Deletions Inverter::deletions() const {
  Deletions deletions(size_);
  for (const Run& run : deleted_)
    for (uint32_t document = run.begin; document < run.end; ++document) deletions.add(document);
  return deletions;
}

bool Inverter::remove(const std::string& document_id) {
  const auto found = runs_.find(document_id);
  if (found == runs_.end()) return false;
  deleted_.push_back(found->second);
  if (run_ == &found->second) run_ = nullptr;
  runs_.erase(found);
  return true;
}

uint32_t Inverter::allocate(uint32_t bytes) {
  if (block_used_ + bytes > kBlockBytes) {
    blocks_.push_back(std::make_unique_for_overwrite<uint8_t[]>(kBlockBytes));
    block_used_ = 0;
  }
  const uint32_t place = static_cast<uint32_t>(blocks_.size() - 1) * kBlockBytes + block_used_;
  block_used_ += bytes;
  return place;
}

void Inverter::grow_table() {
  const std::vector<Slot> before = std::exchange(table_, std::vector<Slot>(table_.size() * 2));
  const size_t mask = table_.size() - 1;
  for (const Slot& kept : before) {
    if (kept.entry == 0) continue;
    size_t slot = kept.hash & mask;
    while (table_[slot].entry != 0) slot = (slot + 1) & mask;
    table_[slot] = kept;
  }
}

Inverter::Key Inverter::key_of(uint32_t field, std::string_view text) {
  return {text, first_bytes(text), hash_of(field, text), field};
}

uint32_t Inverter::find_or_add(const Key& key) {
  const size_t mask = table_.size() - 1;
  size_t slot = key.hash & mask;
  for (; table_[slot].entry != 0; slot = (slot + 1) & mask) {
    if (table_[slot].hash != key.hash) continue;
    const Entry& entry = entries_[table_[slot].entry - 1];
    if (entry.start == key.start && entry.text_size == key.text.size() && entry.field == key.field &&
        (key.text.size() <= sizeof(key.start) || text_of(entry) == key.text))
      return table_[slot].entry - 1;
  }
  Entry entry;
  entry.start = key.start;
  entry.field = static_cast<uint8_t>(key.field);
  entry.text = allocate(static_cast<uint32_t>(key.text.size()));
  entry.text_size = static_cast<uint16_t>(key.text.size());
  std::memcpy(at(entry.text), key.text.data(), key.text.size());
  entry.first = entry.at = allocate(kPieceBytes[0]);
  entry.end = entry.first + kPieceBytes[0] - kLinkBytes;
  entries_.push_back(entry);
  table_[slot] = {key.hash, static_cast<uint32_t>(entries_.size())};
  if (entries_.size() * 2 > table_.size()) grow_table();
  return static_cast<uint32_t>(entries_.size() - 1);
}

void Inverter::put_byte(Entry& entry, uint8_t byte) {
  if (entry.at == entry.end) {
    entry.piece = static_cast<uint8_t>(std::min<size_t>(entry.piece + 1u, kPieceBytes.size() - 1));
    const uint32_t next = allocate(kPieceBytes[entry.piece]);
    std::memcpy(at(entry.end), &next, kLinkBytes);
    entry.at = next;
    entry.end = next + kPieceBytes[entry.piece] - kLinkBytes;
  }
  *at(entry.at++) = byte;
}

void Inverter::put_number(Entry& entry, uint64_t value) {
  for (; value >= 0x80; value >>= 7) put_byte(entry, static_cast<uint8_t>(value | 0x80));
  put_byte(entry, static_cast<uint8_t>(value));
}

void Inverter::add_posting(uint32_t number) {
  Entry& entry = entries_[number];
  const uint32_t document = size_ - 1;
  if (entry.documents > 0 && entry.last == document) {
    ++entry.frequency;
    return;
  }
  if (entry.documents > 0) {
    const uint64_t delta = entry.last - entry.before;
    put_number(entry, delta << 1 | (entry.frequency == 1 ? 1 : 0));
    if (entry.frequency != 1) put_number(entry, entry.frequency);
    entry.before = entry.last;
  }
  ++entry.documents;
  entry.last = document;
  entry.frequency = 1;
}

void Inverter::begin_lucene_document(std::string_view id_term, std::string_view kind) {
  ++size_;
  run_->end = size_;
  stored_begins_.push_back(stored_.size());
  for (std::string& codes : lengths_) codes += static_cast<char>(kFieldAbsent);
  add_term(kIdNumber, id_term);
  add_term(kKindNumber, kind);
}

namespace {

// As SegmentOutput::store() reads it back: the field, the length, the bytes.
void append_stored(std::string& out, uint32_t field, std::string_view bytes) {
  put_number(out, field);
  put_string(out, bytes);
}

uint64_t take_number(std::string_view& bytes) {
  uint64_t value = 0;
  for (int shift = 0;; shift += 7) {
    const auto byte = static_cast<uint8_t>(bytes.front());
    bytes.remove_prefix(1);
    value |= uint64_t{byte & 0x7Fu} << shift;
    if (byte < 0x80) return value;
  }
}

}  // namespace

void Inverter::begin_document(const Document& document, const std::vector<Term>& title) {
  id_term_ = id_as_term(document.id);
  kind_ = std::to_string(static_cast<int>(document.source));
  run_ = &runs_[document.id];
  run_->begin = size_;
  begin_lucene_document(id_term_, from_wide(kRecordKind));
  for (const std::string& term : filter_terms(document)) add_term(kKindNumber, id_as_term(term));
  append_stored(stored_, kPropertiesNumber, encode_properties(document));
  append_stored(stored_, kTextNumber, document.text);
  if (const std::string marks = encode_marks(document); !marks.empty()) append_stored(stored_, kMarksNumber, marks);
  title_entries_.clear();
  for (const Term& term : title) {
    const std::string_view text = index_term_bytes(term.text);
    if (text.empty()) continue;
    for (const TermField field : fields_of(term.kind))
      title_entries_.push_back(find_or_add(key_of(kFirstTermNumber + static_cast<uint32_t>(field), text)));
  }
}

void Inverter::add_passage(const Passage& passage, const std::vector<Term>& terms) {
  begin_lucene_document(id_term_, kind_);
  append_stored(stored_, kPassageNumber, encode_passage(passage));
  std::array<uint32_t, kTermFields> counts{};
  // The table is far larger than the caches: where to look is known some terms before it is looked at.
  keys_.clear();
  for (const Term& term : terms) {
    const std::string_view text = index_term_bytes(term.text);
    if (text.empty()) continue;
    const auto field = static_cast<uint32_t>(body_field(term.kind));
    keys_.push_back(key_of(kFirstTermNumber + field, text));
    __builtin_prefetch(&table_[keys_.back().hash & (table_.size() - 1)]);
    ++counts[field];
  }
  for (size_t i = 0; i < keys_.size(); ++i) {
    if (i + kAhead < keys_.size())
      if (const Slot& slot = table_[keys_[i + kAhead].hash & (table_.size() - 1)]; slot.entry != 0)
        __builtin_prefetch(&entries_[slot.entry - 1], 1);
    add_posting(find_or_add(keys_[i]));
  }
  for (const uint32_t entry : title_entries_) {
    add_posting(entry);
    ++counts[entries_[entry].field - kFirstTermNumber];
  }
  for (size_t field = 0; field < kTermFields; ++field)
    if (counts[field] > 0) lengths_[field].back() = static_cast<char>(encode_length(counts[field]));
}

std::vector<uint32_t> Inverter::sorted(uint32_t field) const {
  std::vector<std::pair<uint64_t, uint32_t>> keys;
  for (uint32_t i = 0; i < entries_.size(); ++i)
    // A title's terms may have met no passage.
    if (entries_[i].field == field && entries_[i].documents > 0) keys.emplace_back(entries_[i].start, i);
  std::sort(keys.begin(), keys.end(), [this](const auto& a, const auto& b) {
    return a.first != b.first ? a.first < b.first : text_of(entries_[a.second]) < text_of(entries_[b.second]);
  });
  std::vector<uint32_t> order;
  order.reserve(keys.size());
  for (const auto& [first, i] : keys) order.push_back(i);
  return order;
}

void Inverter::write_postings(const Entry& entry, SegmentOutput& output) const {
  uint32_t place = entry.first;
  uint32_t end = place + kPieceBytes[0] - kLinkBytes;
  size_t piece = 0;
  const auto next_byte = [&] {
    if (place == end) {
      piece = std::min(piece + 1, kPieceBytes.size() - 1);
      std::memcpy(&place, at(end), kLinkBytes);
      end = place + kPieceBytes[piece] - kLinkBytes;
    }
    return *at(place++);
  };
  const auto next_number = [&] {
    uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
      const uint8_t byte = next_byte();
      value |= uint64_t{byte & 0x7Fu} << shift;
      if (byte < 0x80) return value;
    }
  };
  uint32_t document = 0;
  for (uint32_t i = 1; i < entry.documents; ++i) {
    const uint64_t code = next_number();
    document += static_cast<uint32_t>(code >> 1);
    output.add_posting(document, code & 1 ? 1 : static_cast<uint32_t>(next_number()));
  }
  output.add_posting(entry.last, entry.frequency);
}

Status Inverter::write(SegmentOutput& output) const {
  std::string_view stored = stored_;
  for (uint32_t document = 0; document < size_; ++document) {
    const uint64_t end = document + 1 < size_ ? stored_begins_[document + 1] : stored_.size();
    std::string_view bytes = stored.substr(stored_begins_[document], end - stored_begins_[document]);
    uint32_t fields = 0;
    for (std::string_view rest = bytes; !rest.empty(); ++fields) {
      take_number(rest);
      rest.remove_prefix(take_number(rest));
    }
    output.begin_document(fields);
    while (!bytes.empty()) {
      const auto field = static_cast<uint32_t>(take_number(bytes));
      const uint64_t size = take_number(bytes);
      output.store(field, bytes.substr(0, size));
      bytes.remove_prefix(size);
    }
  }
  for (const uint32_t field : fields_in_order())
    for (const uint32_t i : sorted(field)) {
      output.begin_term();
      write_postings(entries_[i], output);
      output.end_term(field, text_of(entries_[i]));
    }
  return output.finish(size_, lengths_);
}

}  // namespace wenqu::retrieval
