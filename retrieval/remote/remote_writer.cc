#include "retrieval/remote/remote_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "retrieval/documents/passages.h"
#include "retrieval/vectors/embed_texts.h"
#include "retrieval/vectors/segment.h"

namespace wenqu::retrieval {
namespace {

// Of changes that wait to be sent.
constexpr size_t kBatchDocuments = 500;
constexpr size_t kBatchBytes = size_t{4} << 20;
// Of one request, unless one document alone is larger. Clusters take 100 MiB, services in front of them often 10.
constexpr size_t kRequestBytes = size_t{8} << 20;
constexpr size_t kTextsAtOnce = 32;  // that the embedding model is given

size_t bytes_of(const Document& document) { return document.text.size() + document.title.size(); }

}  // namespace

Status RemoteWriter::add(Document document) { return change({std::move(document), false}); }

Status RemoteWriter::remove(const std::string& document_id) {
  Change gone;
  gone.document.id = document_id;
  gone.removes = true;
  return change(std::move(gone));
}

Status RemoteWriter::change(Change change) {
  const std::lock_guard lock(mutex_);
  if (!has_room_for(change)) {
    const Status sent = flush();
    // Which would say that this document is at fault.
    if (sent.code() == StatusCode::invalid_argument || sent.code() == StatusCode::limit_exceeded)
      return Status(StatusCode::io_error, sent.message(), sent.where());
    if (!sent) return sent;
  }
  const std::string id = change.document.id;
  Change& waiting = pending_[id];
  pending_bytes_ += bytes_of(change.document);
  pending_bytes_ -= bytes_of(waiting.document);
  waiting = std::move(change);
  return {};
}

// What takes the place of a larger change always has: so the removal of a document that the cluster refuses lets the others go.
bool RemoteWriter::has_room_for(const Change& change) const {
  if (pending_.size() < kBatchDocuments && pending_bytes_ < kBatchBytes) return true;
  const auto waiting = pending_.find(change.document.id);
  return waiting != pending_.end() && bytes_of(change.document) <= bytes_of(waiting->second.document);
}

Status RemoteWriter::send_all(const std::vector<BulkItem>& last) {
  const std::lock_guard lock(mutex_);
  WENQU_RETURN_IF_ERROR(flush());
  return last.empty() ? Status() : cluster_.bulk(last, {});
}

// Sends what is pending, which all stays so where a part of it fails. REQUIRES: mutex_ is held
Status RemoteWriter::flush() {
  if (pending_.empty()) return {};
  std::vector<std::string> keys;
  for (const auto& [id, change] : pending_) keys.push_back(record_key(id));
  // Of passages that are not replaced it must be known that they are there.
  WENQU_ASSIGN_OR_RETURN(const std::vector<uint32_t> slots, cluster_.slots(keys, {}));
  std::vector<Parts> parts(pending_.size());
  size_t place = 0;
  for (const auto& [id, change] : pending_) {
    if (!change.removes) {
      WENQU_ASSIGN_OR_RETURN(parts[place], parts_of(change.document));
    }
    parts[place].slots = slots[place];
    ++place;
  }
  // A document's record is there before its passages are, and goes after them: passages without one would be found, and nobody
  // would know of them any more to remove them.
  std::vector<BulkItem> items;
  const auto send_of_each = [&](const auto& append_to) -> Status {
    size_t next = 0;
    for (const auto& [id, change] : pending_) {
      append_to(id, change, parts[next++]);
      WENQU_RETURN_IF_ERROR(send(items, kRequestBytes));
    }
    return send(items, 0);
  };
  WENQU_RETURN_IF_ERROR(send_of_each([&](const std::string&, const Change& change, const Parts& some) {
    if (!change.removes) items.push_back(record_of(change.document, std::max(some.slots, static_cast<uint32_t>(some.passages.size()))));
  }));
  WENQU_RETURN_IF_ERROR(send_of_each([&](const std::string& id, const Change& change, const Parts& some) {
    append(id, change.document, some, items);
  }));
  WENQU_RETURN_IF_ERROR(send_of_each([&](const std::string& id, const Change& change, const Parts& some) {
    if (change.removes && some.slots > 0) items.push_back(removal(id, record_key(id), record_key(id)));
  }));
  pending_.clear();
  pending_bytes_ = 0;
  return {};
}

Result<RemoteWriter::Parts> RemoteWriter::parts_of(const Document& document) const {
  Parts parts;
  parts.passages = split_passages(document);
  if (parts.passages.empty()) parts.passages.emplace_back();  // it is found by its title
  if (!model_) return parts;
  for (size_t first = 0; first < parts.passages.size(); first += kTextsAtOnce) {
    std::vector<std::string> texts;
    for (size_t i = first; i < std::min(first + kTextsAtOnce, parts.passages.size()); ++i)
      texts.push_back(embedded_text(document.title, parts.passages[i].text));
    WENQU_ASSIGN_OR_RETURN(const std::vector<float> some, embed_texts(model_, texts, TextRole::passage, {}));
    parts.numbers.insert(parts.numbers.end(), some.begin(), some.end());
  }
  return parts;
}

// The passages that there are now, and the removal of those that there were beyond.
void RemoteWriter::append(const std::string& id, const Document& document, const Parts& parts, std::vector<BulkItem>& items) const {
  const std::string key = record_key(id);
  std::vector<std::span<const float>> vectors;
  for (size_t i = 0; model_ && i < parts.passages.size(); ++i) {
    const std::span<const float> vector(parts.numbers.data() + i * model_.dimensions, model_.dimensions);
    vectors.push_back(is_zero(vector) ? std::span<const float>() : vector);   // it has no angle to be compared by
  }
  append_passages(document, parts.passages, analyzer_, vectors, items);
  for (auto ordinal = static_cast<uint32_t>(parts.passages.size()); ordinal < parts.slots; ++ordinal)
    items.push_back(removal(id, key, passage_key(key, ordinal)));
}

// Sends the items from the front while there are so many bytes of them; 0: all.
Status RemoteWriter::send(std::vector<BulkItem>& items, size_t least) const {
  size_t bytes = 0;
  for (const BulkItem& item : items) bytes += item.lines.size();
  while (!items.empty() && bytes >= least) {
    size_t count = 0, sent = 0;
    for (; count < items.size() && (count == 0 || sent + items[count].lines.size() <= kRequestBytes); ++count) sent += items[count].lines.size();
    const auto end = items.begin() + static_cast<std::ptrdiff_t>(count);
    const std::vector<BulkItem> some(std::make_move_iterator(items.begin()), std::make_move_iterator(end));
    items.erase(items.begin(), end);
    bytes -= sent;
    WENQU_RETURN_IF_ERROR(send_some(some));
  }
  return {};
}

// A request that is too large for the cluster, or for what stands before it, goes in halves.
Status RemoteWriter::send_some(std::span<const BulkItem> items) const {
  const Status sent = cluster_.bulk({items.begin(), items.end()}, {});
  if (sent.code() != StatusCode::limit_exceeded) return sent;
  if (items.size() == 1)
    return Status(StatusCode::io_error,
                  fmt::format("a part of the document has {} bytes, which is too much for the cluster ({}): let it take more, or leave the document out",
                              items[0].lines.size(), sent.message()),
                  items[0].document_id);
  const size_t half = items.size() / 2;
  WENQU_RETURN_IF_ERROR(send_some(items.first(half)));
  return send_some(items.subspan(half));
}

}  // namespace wenqu::retrieval
