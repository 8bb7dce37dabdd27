#include "retrieval/vectors/vector_writer.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <new>

#include "retrieval/store/crc32c.h"
#include "retrieval/store/file.h"
#include "retrieval/vectors/embed_texts.h"

namespace wenqu::retrieval {
namespace {

constexpr size_t kTogether = 32;         // texts that the model is given at once
constexpr size_t kTier = 8;              // segments of a size that are joined, and how much larger the next size is

// Segments of one tier are of about one size.
size_t tier_of(size_t live) {
  size_t tier = 0;
  for (size_t size = 64; size < live; size *= kTier) ++tier;
  return tier;
}

uint64_t number_of(const std::string& name) {
  uint64_t number = 0;
  std::from_chars(name.data() + 1, name.data() + name.size(), number);
  return number;
}

}  // namespace

VectorWriter::VectorWriter(const IndexPaths& paths, EmbeddingModel model, std::shared_ptr<const VectorSet> last)
    : paths_(paths), model_(std::move(model)), owner_(::getpid()), last_(std::move(last)) {
  roll_back();
}

Result<std::unique_ptr<VectorWriter>> VectorWriter::create(const IndexPaths& paths, EmbeddingModel model, std::shared_ptr<const VectorSet> last) {
  WENQU_RETURN_IF_ERROR(check_embedding_model(model));
  if (last && (last->identity() != model.identity || last->dimensions() != model.dimensions))
    return Status(StatusCode::version_mismatch,
                  "the vectors of the index were made by another embedding model, or with other prefixes: use that one, or have all passages "
                  "embedded again (`wenqu index --embed-again`)",
                  paths.directory);
  WENQU_RETURN_IF_ERROR(create_directories(paths.vectors));
  return std::unique_ptr<VectorWriter>(new VectorWriter(paths, std::move(model), std::move(last)));
}

void VectorWriter::roll_back() {
  remove_written();
  parts_ = last_ ? last_->parts() : std::vector<VectorSet::Part>();
  next_.reset();
  pending_.clear();
  fresh_.clear();
  waiting_.clear();
  joins_all_ = false;
}

bool VectorWriter::join_all() {
  joins_all_ = parts_.size() > 1 || std::any_of(parts_.begin(), parts_.end(), [](const VectorSet::Part& part) { return part.deleted_count > 0; });
  if (joins_all_) next_.reset();
  return joins_all_;
}

void VectorWriter::committed() {
  written_.clear();
  if (next_) last_ = std::move(next_);
  roll_back();
}

const float* VectorWriter::find(const VectorKey& key) const {
  for (const VectorSet::Part& part : parts_)
    if (const auto entry = part.segment->find_key(key)) return part.segment->vector(*entry);
  const auto fresh = fresh_.find(key);
  return fresh != fresh_.end() && !fresh->second.vector.empty() ? fresh->second.vector.data() : nullptr;
}

Status VectorWriter::add(const std::string& document_id, std::string_view title, std::span<const Passage> passages) {
  std::vector<VectorKey> keys;
  for (const Passage& passage : passages) {
    std::string text = embedded_text(title, passage.text);
    const VectorKey& key = keys.emplace_back(vector_key(text));
    const bool known = fresh_.contains(key);
    if (!known && find(key)) continue;   // in a segment
    ++fresh_[key].passages;
    if (!known) waiting_.push_back({key, std::move(text), document_id});
  }
  if (waiting_.size() >= kTogether) {
    if (const Status embedded = embed_waiting(); !embedded) {
      release(keys);
      return embedded;
    }
  }
  remove(document_id);
  pending_[document_id] = std::move(keys);
  return {};
}

// Texts that no passage has any more are not embedded: one that the model always refuses is gone with its document.
void VectorWriter::release(const std::vector<VectorKey>& keys) {
  bool unwanted = false;
  for (const VectorKey& key : keys) {
    const auto fresh = fresh_.find(key);
    if (fresh != fresh_.end() && --fresh->second.passages == 0 && fresh->second.vector.empty()) unwanted = true;
  }
  if (!unwanted) return;
  std::erase_if(waiting_, [this](const Waiting& text) { return fresh_.at(text.key).passages == 0; });
  for (const VectorKey& key : keys) {
    const auto fresh = fresh_.find(key);
    if (fresh != fresh_.end() && fresh->second.passages == 0 && fresh->second.vector.empty()) fresh_.erase(fresh);
  }
}

void VectorWriter::remove(const std::string& document_id) {
  next_.reset();
  if (const auto pending = pending_.find(document_id); pending != pending_.end()) {
    const std::vector<VectorKey> keys = std::move(pending->second);
    pending_.erase(pending);
    release(keys);
  }
  for (VectorSet::Part& part : parts_) {
    const auto document = part.segment->find_document(document_id);
    if (!document) continue;
    for (uint32_t entry = part.segment->documents()[*document].first; entry < part.segment->end_of(*document); ++entry)
      if (!part.deleted[entry]) part.deleted[entry] = true, ++part.deleted_count;
  }
}

bool VectorWriter::has(const std::string& document_id, std::string_view title, std::span<const Passage> passages) const {
  for (const VectorSet::Part& part : parts_) {
    const auto document = part.segment->find_document(document_id);
    if (!document) continue;
    const uint32_t first = part.segment->documents()[*document].first, end = part.segment->end_of(*document);
    if (part.deleted[first]) continue;
    if (end - first != passages.size()) return false;
    for (uint32_t entry = first; entry < end; ++entry)
      if (part.segment->key(entry) != vector_key(embedded_text(title, passages[entry - first].text))) return false;
    return true;
  }
  return false;
}

std::set<std::string> VectorWriter::documents() const {
  std::set<std::string> ids;
  for (const VectorSet::Part& part : parts_)
    for (const VectorSegment::Document& document : part.segment->documents())
      if (!part.deleted[document.first]) ids.insert(document.id);
  return ids;
}

Status VectorWriter::embed_waiting() {
  Status status;
  size_t first = 0;
  while (status && first < waiting_.size()) {
    std::vector<std::string> texts;
    const size_t end = std::min(first + kTogether, waiting_.size());
    for (size_t i = first; i < end; ++i) texts.push_back(waiting_[i].text);
    const Result<std::vector<float>> vectors = embed_texts(model_, texts, TextRole::passage, {});
    if (!vectors) {
      const std::string& one = waiting_[first].document_id;
      const std::string& other = waiting_[end - 1].document_id;
      status = vectors.status().at("passages of " + (one == other ? one : one + " to " + other));
      break;
    }
    embedded_ += texts.size();
    for (size_t i = 0; i < texts.size(); ++i) {
      const std::span<const float> vector(vectors->data() + i * model_.dimensions, model_.dimensions);
      fresh_[waiting_[first + i].key].vector.assign(vector.begin(), vector.end());
    }
    first = end;
  }
  waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<ptrdiff_t>(first));
  return status;
}

// What is alive of some parts and, if asked for, what is pending, as one.
Result<VectorSet::Part> VectorWriter::join(const std::vector<const VectorSet::Part*>& parts, bool with_pending) {
  struct Origin {
    const std::string* id;
    const VectorSet::Part* part;   // null: pending
    size_t document;
  };
  std::vector<Origin> origins;
  for (const VectorSet::Part* part : parts)
    for (size_t document = 0; document < part->segment->documents().size(); ++document)
      if (!part->deleted[part->segment->documents()[document].first])
        origins.push_back({&part->segment->documents()[document].id, part, document});
  if (with_pending)
    for (const auto& [id, keys] : pending_)
      if (!keys.empty()) origins.push_back({&id, nullptr, 0});
  std::sort(origins.begin(), origins.end(), [](const Origin& a, const Origin& b) { return *a.id < *b.id; });
  std::vector<VectorSegment::Document> documents;
  std::vector<VectorSegment::Entry> entries;
  for (const Origin& origin : origins) {
    documents.push_back({*origin.id, static_cast<uint32_t>(entries.size())});
    if (origin.part) {
      const VectorSegment& segment = *origin.part->segment;
      for (uint32_t entry = segment.documents()[origin.document].first; entry < segment.end_of(origin.document); ++entry)
        entries.push_back({segment.key(entry), segment.vector(entry)});
    } else {
      for (const VectorKey& key : pending_.at(*origin.id)) {
        const float* vector = find(key);
        if (!vector) return Status(StatusCode::internal, "a passage has no vector", *origin.id);
        entries.push_back({key, vector});
      }
    }
  }
  VectorSet::Part joined;
  if (entries.empty()) return joined;
  if (entries.size() > INT32_MAX) return Status(StatusCode::limit_exceeded, "an index holds two thousand million vectors at most", paths_.directory);
  WENQU_ASSIGN_OR_RETURN(joined.segment, VectorSegment::build(model_.dimensions, std::move(documents), entries));
  joined.deleted.resize(entries.size());
  return joined;
}

Result<std::vector<VectorSet::Part>> VectorWriter::parts_of_commit() {
  constexpr double kMostDeleted = 1.0 / 3;
  size_t pending = 0;
  for (const auto& [id, keys] : pending_) pending += keys.size();
  // How many of each tier there would be; the tier of the new ones and those below are joined as long as one is full.
  std::vector<bool> joining(parts_.size(), joins_all_);
  size_t size = pending;
  for (bool more = pending > 0; more;) {
    const size_t tier = tier_of(size);
    size_t count = 1, live = size;
    for (size_t i = 0; i < parts_.size(); ++i)
      if (!joining[i] && parts_[i].live() > 0 && tier_of(parts_[i].live()) <= tier) ++count, live += parts_[i].live();
    more = count >= kTier;
    for (size_t i = 0; more && i < parts_.size(); ++i) joining[i] = joining[i] || tier_of(parts_[i].live()) <= tier;
    if (more) size = live;
  }
  std::vector<VectorSet::Part> result;
  std::vector<const VectorSet::Part*> joined;
  for (size_t i = 0; i < parts_.size(); ++i) {
    const VectorSet::Part& part = parts_[i];
    if (part.live() == 0) continue;
    if (joining[i]) {
      joined.push_back(&part);
    } else if (static_cast<double>(part.deleted_count) > kMostDeleted * static_cast<double>(part.segment->size())) {
      WENQU_ASSIGN_OR_RETURN(VectorSet::Part again, join({&part}, false));
      result.push_back(std::move(again));
    } else {
      result.push_back(part);
    }
  }
  WENQU_ASSIGN_OR_RETURN(VectorSet::Part fresh, join(joined, true));
  if (fresh.segment) result.push_back(std::move(fresh));
  return result;
}

Status VectorWriter::write_file(const std::string& name, std::string_view bytes, ManifestFile& entry) {
  WENQU_ASSIGN_OR_RETURN(File file, File::create(paths_.vectors + "/" + name));
  written_.push_back(name);
  WENQU_RETURN_IF_ERROR(file.write_at(0, bytes));
  WENQU_RETURN_IF_ERROR(file.sync());
  entry = {name, bytes.size(), crc32c(bytes)};
  // What was written is read back, as all files of a commit are.
  WENQU_RETURN_IF_ERROR(verify_file(file, entry));
  return file.close();
}

// Those of attempts that failed would fill the disk, which may be what they failed of.
void VectorWriter::remove_written() {
  if (::getpid() != owner_) return;
  for (const std::string& name : written_) (void)remove_file(paths_.vectors + "/" + name).is_ok();   // else it is garbage of the next commit
  written_.clear();
}

Status VectorWriter::write(Manifest& manifest) {
  if (next_ && next_->commit() == manifest.commit) {
    manifest.vectors = next_files_;
    return {};
  }
  remove_written();
  const Status written = write_files(manifest);
  if (!written) remove_written();
  return written;
}

Status VectorWriter::write_files(Manifest& manifest) {
  try {
    WENQU_RETURN_IF_ERROR(embed_waiting());
    WENQU_ASSIGN_OR_RETURN(std::vector<VectorSet::Part> parts, parts_of_commit());
    // No name of a file that is there is used again: one of a commit that failed may yet be needed, should a power cut bring it back.
    WENQU_ASSIGN_OR_RETURN(const std::vector<std::string> present, list_files(paths_.vectors));
    uint64_t number = manifest.commit;
    for (const std::string& name : present)
      if (is_vector_file(name)) number = std::max(number, number_of(name) + 1);
    manifest.vectors.resize(1);
    for (VectorSet::Part& part : parts) {
      if (part.file.name.empty())
        WENQU_RETURN_IF_ERROR(write_file("s" + std::to_string(number++) + ".vec", part.segment->encode(), part.file));
      manifest.vectors.push_back(part.file);
    }
    auto next = std::make_shared<VectorSet>(model_.identity, model_.dimensions, manifest.commit, std::move(parts));
    WENQU_RETURN_IF_ERROR(write_file("c" + std::to_string(number) + ".set", next->encode(), manifest.vectors.front()));
    WENQU_RETURN_IF_ERROR(sync_directory(paths_.vectors));
    next_ = std::move(next);
    next_files_ = manifest.vectors;
    return {};
  } catch (const std::bad_alloc&) {
    return Status(StatusCode::out_of_memory, "not enough memory for the vectors of the index", paths_.vectors);
  }
}

void collect_vector_garbage(const IndexPaths& paths, const Manifest* newest, const Manifest* previous) {
  std::set<std::string> wanted;
  for (const Manifest* manifest : {newest, previous})
    if (manifest)
      for (const ManifestFile& file : manifest->vectors) wanted.insert(file.name);
  const auto present = list_files(paths.vectors);
  if (!present) return;   // garbage does no harm; the next commit tries again
  for (const std::string& name : *present)
    if (is_vector_file(name) && !wanted.contains(name)) (void)remove_file(paths.vectors + "/" + name).is_ok();
}

}  // namespace wenqu::retrieval
