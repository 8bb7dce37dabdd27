#include "retrieval/vectors/segment.h"

#include <algorithm>
#include <cmath>
#include <new>

#include "base/sha256.h"
#include "retrieval/vectors/dot.h"

namespace wenqu::retrieval {
namespace {

constexpr std::string_view kSegmentMagic = "wenqu vectors 1\n";
constexpr size_t kMaxDocumentId = 4096, kMostDimensions = 1 << 16;
// A graph loses to looking at every vector when more than this part of them is wanted.
constexpr size_t kGraphShare = 16;

}  // namespace

VectorKey vector_key(std::string_view text) {
  Sha256 hash;
  hash.add(std::as_bytes(std::span(text)));
  const Sha256::Digest digest = hash.finish();
  VectorKey key;
  std::copy_n(digest.begin(), key.size(), key.begin());
  return key;
}

std::string embedded_text(std::string_view title, std::string_view passage) {
  std::string text(title);
  if (!title.empty() && !passage.empty()) text += '\n';
  return text += passage;
}

Status VectorSegment::add_graph(BytesReader* from, const std::function<const float*(size_t)>& vector) {
  WENQU_ASSIGN_OR_RETURN(graph_, from ? Graph::decode(*from, dimensions_, size(), vector) : Graph::build(dimensions_, size(), vector));
  return {};
}

Result<std::shared_ptr<const VectorSegment>> VectorSegment::build(size_t dimensions, std::vector<Document> documents,
                                                                  const std::vector<Entry>& entries) {
  try {
    std::shared_ptr<VectorSegment> segment(new VectorSegment);
    segment->dimensions_ = dimensions;
    segment->documents_ = std::move(documents);
    for (const Entry& entry : entries) segment->keys_.push_back(entry.key);
    if (entries.size() >= kGraphFrom) {
      WENQU_RETURN_IF_ERROR(segment->add_graph(nullptr, [&](size_t i) { return entries[i].vector; }));
    } else {
      for (const Entry& entry : entries) segment->vectors_.insert(segment->vectors_.end(), entry.vector, entry.vector + dimensions);
    }
    return std::shared_ptr<const VectorSegment>(std::move(segment));
  } catch (const std::bad_alloc&) {
    return Status(StatusCode::out_of_memory, "not enough memory for the vectors");
  }
}

std::string VectorSegment::encode() const {
  BytesWriter out;
  out.raw(kSegmentMagic.data(), kSegmentMagic.size());
  out.number(static_cast<uint32_t>(dimensions_));
  out.number(static_cast<uint32_t>(documents_.size()));
  out.number(static_cast<uint32_t>(keys_.size()));
  out.number(static_cast<uint8_t>(graph_ != nullptr));
  for (const Document& document : documents_) {
    out.text(document.id);
    out.number(document.first);
  }
  out.raw(keys_.data(), keys_.size() * sizeof(VectorKey));
  for (uint32_t i = 0; i < keys_.size(); ++i) out.raw(vector(i), dimensions_ * sizeof(float));
  if (graph_) graph_->encode(out);
  return out.take();
}

Result<std::shared_ptr<const VectorSegment>> VectorSegment::decode(std::string_view bytes) {
  const Status corrupt(StatusCode::corrupt, "the vectors are damaged");
  try {
    std::shared_ptr<VectorSegment> segment(new VectorSegment);
    BytesReader in(bytes);
    if (in.raw(kSegmentMagic.size()) != kSegmentMagic) return corrupt;
    segment->dimensions_ = in.number<uint32_t>();
    const auto documents = in.number<uint32_t>();
    const auto entries = in.number<uint32_t>();
    const bool has_graph = in.number<uint8_t>() == 1;
    if (!in.good() || segment->dimensions_ == 0 || segment->dimensions_ > kMostDimensions || documents > entries) return corrupt;
    for (uint32_t i = 0; i < documents; ++i) {
      Document document;
      document.id = in.text(kMaxDocumentId);
      document.first = in.number<uint32_t>();
      if (!in.good()) return corrupt;
      const Document* before = segment->documents_.empty() ? nullptr : &segment->documents_.back();
      if (before ? document.id <= before->id || document.first <= before->first : document.first != 0) return corrupt;
      if (document.first >= entries) return corrupt;
      segment->documents_.push_back(std::move(document));
    }
    const std::string_view keys = in.raw(uint64_t{entries} * sizeof(VectorKey));
    if (!in.good() || documents == 0) return corrupt;
    segment->keys_.resize(entries);
    std::memcpy(segment->keys_.data(), keys.data(), keys.size());
    const std::string_view vectors = in.raw(uint64_t{entries} * segment->dimensions_ * sizeof(float));
    if (!in.good()) return corrupt;
    if (has_graph) {
      std::vector<float> row(segment->dimensions_);   // the bytes may lie at any address
      WENQU_RETURN_IF_ERROR(segment->add_graph(&in, [&](size_t i) {
        std::memcpy(row.data(), vectors.data() + i * row.size() * sizeof(float), row.size() * sizeof(float));
        return row.data();
      }));
    } else {
      segment->vectors_.resize(entries * segment->dimensions_);
      std::memcpy(segment->vectors_.data(), vectors.data(), vectors.size());
    }
    if (!in.done()) return corrupt;
    return std::shared_ptr<const VectorSegment>(std::move(segment));
  } catch (const std::bad_alloc&) {
    return Status(StatusCode::out_of_memory, "not enough memory for the vectors");
  }
}

std::optional<size_t> VectorSegment::find_document(std::string_view id) const {
  const auto found = std::lower_bound(documents_.begin(), documents_.end(), id, [](const Document& d, std::string_view i) { return d.id < i; });
  if (found == documents_.end() || found->id != id) return std::nullopt;
  return static_cast<size_t>(found - documents_.begin());
}

size_t VectorSegment::document_of(uint32_t entry) const {
  const auto after = std::upper_bound(documents_.begin(), documents_.end(), entry, [](uint32_t e, const Document& d) { return e < d.first; });
  return static_cast<size_t>(after - documents_.begin()) - 1;
}

std::optional<uint32_t> VectorSegment::find_key(const VectorKey& key) const {
  std::call_once(sorted_once_, [this] {
    by_key_.resize(keys_.size());
    for (uint32_t i = 0; i < by_key_.size(); ++i) by_key_[i] = i;
    std::sort(by_key_.begin(), by_key_.end(), [this](uint32_t a, uint32_t b) { return keys_[a] != keys_[b] ? keys_[a] < keys_[b] : a < b; });
  });
  const auto found = std::lower_bound(by_key_.begin(), by_key_.end(), key, [this](uint32_t e, const VectorKey& k) { return keys_[e] < k; });
  if (found == by_key_.end() || keys_[*found] != key) return std::nullopt;
  return *found;
}

Result<std::vector<Graph::Near>> VectorSegment::nearest(const float* query, size_t count, const std::function<bool(uint32_t)>& accept) const {
  std::vector<Graph::Near> near;
  for (size_t wanted = count; graph_ && wanted <= size() / kGraphShare; wanted *= 4) {
    WENQU_ASSIGN_OR_RETURN(std::vector<Graph::Near> found, graph_->nearest(query, wanted));
    near.clear();
    for (const Graph::Near& one : found)
      if (accept(one.index)) near.push_back(one);
    // Those that are left out make room for others, which lie farther.
    if (near.size() >= count) break;
  }
  const auto closer = [](const Graph::Near& a, const Graph::Near& b) { return a.similarity != b.similarity ? a.similarity > b.similarity : a.index < b.index; };
  if (near.size() < count) {
    near.clear();
    const DotFunction dot = dot_function();
    for (uint32_t i = 0; i < size(); ++i)
      if (accept(i)) near.push_back({dot(query, vector(i), dimensions_), i});
  }
  if (near.size() > count) {
    std::nth_element(near.begin(), near.begin() + static_cast<std::ptrdiff_t>(count), near.end(), closer);
    near.resize(count);
  }
  return near;
}

}  // namespace wenqu::retrieval
