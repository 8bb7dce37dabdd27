#include "retrieval/vectors/vector_set.h"

#include <algorithm>
#include <new>

#include "retrieval/vectors/bytes.h"

namespace wenqu::retrieval {
namespace {

constexpr std::string_view kSetMagic = "wenqu vector set 1\n";
constexpr size_t kLongestIdentity = 256, kMaxName = 64;
constexpr size_t kMaxFileBytes = size_t{1} << 40;

Result<std::string> read_verified(const IndexPaths& paths, const ManifestFile& entry) {
  WENQU_ASSIGN_OR_RETURN(const File file, File::open(paths.vectors + "/" + entry.name));
  WENQU_RETURN_IF_ERROR(verify_file(file, entry));
  if (entry.bytes > kMaxFileBytes) return Status(StatusCode::corrupt, "is too large", file.path());
  std::string bytes(static_cast<size_t>(entry.bytes), '\0');
  WENQU_RETURN_IF_ERROR(file.read_at(0, bytes.data(), bytes.size()));
  return bytes;
}

Result<VectorSet::Part> read_part(const IndexPaths& paths, BytesReader& in, const Manifest& manifest, const VectorSet* earlier) {
  const Status corrupt(StatusCode::corrupt, "the list of vectors is damaged", paths.vectors);
  const std::string name(in.text(kMaxName));
  const auto entries = in.number<uint32_t>();
  const std::string_view bits = in.raw((uint64_t{entries} + 7) / 8);
  const auto file = std::find_if(manifest.vectors.begin(), manifest.vectors.end(), [&](const ManifestFile& f) { return f.name == name; });
  if (!in.good() || file == manifest.vectors.end()) return corrupt;
  VectorSet::Part part;
  part.file = *file;
  if (earlier)
    for (const VectorSet::Part& known : earlier->parts())
      if (known.file == *file) part.segment = known.segment;
  if (!part.segment) {
    WENQU_ASSIGN_OR_RETURN(const std::string bytes, read_verified(paths, *file));
    auto segment = VectorSegment::decode(bytes);
    if (!segment) return segment.status().at(paths.vectors + "/" + name);
    part.segment = std::move(*segment);
  }
  if (part.segment->size() != entries) return corrupt;
  part.deleted.resize(entries);
  for (uint32_t i = 0; i < entries; ++i)
    if ((static_cast<unsigned char>(bits[i / 8]) >> (i % 8)) & 1) part.deleted[i] = true, ++part.deleted_count;
  return part;
}

}  // namespace

bool is_vector_file(const std::string& name) {
  return (name.starts_with('c') && name.ends_with(".set")) || (name.starts_with('s') && name.ends_with(".vec"));
}

Result<std::shared_ptr<const VectorSet>> VectorSet::open(const IndexPaths& paths, const Manifest& manifest, const VectorSet* earlier) {
  try {
    const auto set = std::find_if(manifest.vectors.begin(), manifest.vectors.end(), [](const ManifestFile& f) { return f.name.ends_with(".set"); });
    if (set == manifest.vectors.end()) return Status(StatusCode::not_found, "the index has no vectors", paths.directory);
    WENQU_ASSIGN_OR_RETURN(const std::string bytes, read_verified(paths, *set));
    const Status corrupt(StatusCode::corrupt, "the list of vectors is damaged", paths.vectors + "/" + set->name);
    BytesReader in(bytes);
    if (in.raw(kSetMagic.size()) != kSetMagic) return corrupt;
    std::string identity(in.text(kLongestIdentity));
    const auto dimensions = in.number<uint32_t>();
    const auto commit = in.number<uint64_t>();
    const auto count = in.number<uint32_t>();
    if (!in.good() || dimensions == 0 || count > manifest.vectors.size()) return corrupt;
    std::vector<Part> parts;
    for (uint32_t i = 0; i < count; ++i) {
      WENQU_ASSIGN_OR_RETURN(Part part, read_part(paths, in, manifest, earlier));
      if (part.segment->dimensions() != dimensions) return corrupt;
      parts.push_back(std::move(part));
    }
    if (!in.done()) return corrupt;
    return std::shared_ptr<const VectorSet>(std::make_shared<VectorSet>(std::move(identity), dimensions, commit, std::move(parts)));
  } catch (const std::bad_alloc&) {
    return Status(StatusCode::out_of_memory, "not enough memory for the vectors of the index", paths.vectors);
  }
}

Status check_vector_files(const IndexPaths& paths, const Manifest& manifest, const CancelToken& cancel) {
  for (const ManifestFile& entry : manifest.vectors) {
    WENQU_RETURN_IF_ERROR(cancel.status());
    WENQU_ASSIGN_OR_RETURN(const File file, File::open(paths.vectors + "/" + entry.name));
    file.drop_cache();
    WENQU_RETURN_IF_ERROR(verify_file(file, entry));
  }
  return {};
}

std::string VectorSet::encode() const {
  BytesWriter out;
  out.raw(kSetMagic.data(), kSetMagic.size());
  out.text(identity_);
  out.number(static_cast<uint32_t>(dimensions_));
  out.number(commit_);
  out.number(static_cast<uint32_t>(parts_.size()));
  for (const Part& part : parts_) {
    out.text(part.file.name);
    out.number(static_cast<uint32_t>(part.deleted.size()));
    std::string bits((part.deleted.size() + 7) / 8, '\0');
    for (size_t i = 0; i < part.deleted.size(); ++i)
      if (part.deleted[i]) bits[i / 8] = static_cast<char>(static_cast<unsigned char>(bits[i / 8]) | 1u << (i % 8));
    out.raw(bits.data(), bits.size());
  }
  return out.take();
}

size_t VectorSet::size() const {
  size_t sum = 0;
  for (const Part& part : parts_) sum += part.live();
  return sum;
}

Result<std::vector<VectorSet::Neighbour>> VectorSet::nearest(std::span<const float> query, size_t count,
                                                               const Accept& accept) const {
  try {
    std::vector<Neighbour> all;
    for (size_t p = 0; p < parts_.size(); ++p) {
      const Part& part = parts_[p];
      const auto wanted = [&](uint32_t entry) { return !part.deleted[entry] && (!accept || accept(p, entry)); };
      WENQU_ASSIGN_OR_RETURN(const std::vector<Graph::Near> near, part.segment->nearest(query.data(), std::min(count, part.live()), wanted));
      for (const Graph::Near& one : near) {
        const VectorSegment::Document& document = part.segment->documents()[part.segment->document_of(one.index)];
        all.push_back({&document.id, one.index - document.first, &part.segment->key(one.index), one.similarity});
      }
    }
    std::sort(all.begin(), all.end(), [](const Neighbour& a, const Neighbour& b) {
      if (a.similarity != b.similarity) return a.similarity > b.similarity;
      return *a.document_id != *b.document_id ? *a.document_id < *b.document_id : a.ordinal < b.ordinal;
    });
    if (all.size() > count) all.resize(count);
    return all;
  } catch (const std::bad_alloc&) {
    return Status(StatusCode::out_of_memory, "not enough memory for a search of vectors");
  }
}

}  // namespace wenqu::retrieval
