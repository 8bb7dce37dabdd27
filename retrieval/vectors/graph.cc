#include "retrieval/vectors/graph.h"

// Its look-ahead reads a number past the end of a list of links; the products of vectors are ours anyway.
#define NO_MANUAL_VECTORIZATION
#include <hnswlib/hnswlib.h>
#include <hnswlib/hnswalg.h>

#include <algorithm>
#include <exception>
#include <new>
#include <string>

#include "retrieval/vectors/dot.h"

namespace wenqu::retrieval {
namespace {

constexpr size_t kLinks = 16;          // of a vector in each layer; twice as many in the lowest
constexpr size_t kBuildBreadth = 200;  // candidates looked at for a new vector's links
constexpr size_t kSearchBreadth = 128; // candidates kept in a search at least,
constexpr size_t kMoreThanWanted = 3;  // and so many times as many as are wanted
constexpr int kMaxLevel = 32;
constexpr size_t kSeed = 100;

Status status_of_exception() {
  try {
    throw;
  } catch (const std::bad_alloc&) {
    return Status(StatusCode::out_of_memory, "not enough memory for the vectors' graph");
  } catch (const std::exception& error) {
    return Status(StatusCode::internal, std::string("the vectors' graph failed: ") + error.what());
  } catch (...) {
    return Status(StatusCode::internal, "the vectors' graph failed");
  }
}

// The distance of vectors of length 1.
class CosineSpace final : public hnswlib::SpaceInterface<float> {
 public:
  explicit CosineSpace(size_t dimensions) : measure_{dimensions, dot_function()} {}
  size_t get_data_size() override { return measure_.dimensions * sizeof(float); }
  hnswlib::DISTFUNC<float> get_dist_func() override { return distance; }
  void* get_dist_func_param() override { return &measure_; }

 private:
  struct Measure {
    size_t dimensions;
    DotFunction dot;
  };
  static float distance(const void* a, const void* b, const void* measure) {
    const auto& m = *static_cast<const Measure*>(measure);
    return 1 - m.dot(static_cast<const float*>(a), static_cast<const float*>(b), m.dimensions);
  }
  Measure measure_;
};

using Hnsw = hnswlib::HierarchicalNSW<float>;

}  // namespace

struct Graph::Impl {
  Impl(size_t dimensions, size_t count) : space(dimensions), index(&space, std::max<size_t>(count, 1), kLinks, kBuildBreadth, kSeed) {
    index.setEf(kSearchBreadth);
  }
  // What only building needs.
  void finish() {
    std::vector<std::mutex>().swap(index.link_list_locks_);
    std::vector<std::mutex>().swap(index.link_list_update_locks_);
    index.label_lookup_.clear();
  }
  CosineSpace space;
  Hnsw index;
};

Graph::Graph(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Graph::~Graph() = default;

const float* Graph::vector(size_t index) const {
  return reinterpret_cast<const float*>(impl_->index.getDataByInternalId(static_cast<hnswlib::tableint>(index)));
}

Result<std::unique_ptr<const Graph>> Graph::build(size_t dimensions, size_t count, const std::function<const float*(size_t)>& vector) {
  try {
    auto impl = std::make_unique<Impl>(dimensions, count);
    for (size_t i = 0; i < count; ++i) impl->index.addPoint(vector(i), i);
    impl->finish();
    return std::unique_ptr<const Graph>(new Graph(std::move(impl)));
  } catch (...) {
    return status_of_exception();
  }
}

void Graph::encode(BytesWriter& out) const {
  const Hnsw& index = impl_->index;
  out.number(static_cast<uint32_t>(index.enterpoint_node_));
  out.number(static_cast<int32_t>(index.maxlevel_));
  for (hnswlib::tableint i = 0; i < index.cur_element_count; ++i) {
    out.number(static_cast<uint8_t>(index.element_levels_[i]));
    for (int level = 0; level <= index.element_levels_[i]; ++level) {
      hnswlib::linklistsizeint* list = index.get_linklist_at_level(i, level);
      const uint16_t links = index.getListCount(list);
      out.number(links);
      out.raw(list + 1, links * sizeof(hnswlib::tableint));
    }
  }
}

Result<std::unique_ptr<const Graph>> Graph::decode(BytesReader& in, size_t dimensions, size_t count,
                                                   const std::function<const float*(size_t)>& vector) {
  const Status corrupt(StatusCode::corrupt, "the vectors' graph is damaged");
  // A vector takes three bytes here at least.
  if (count == 0 || in.left() / 3 < count) return corrupt;
  try {
    auto impl = std::make_unique<Impl>(dimensions, count);
    Hnsw& index = impl->index;
    const auto entry = in.number<uint32_t>();
    const auto top = in.number<int32_t>();
    if (!in.good() || entry >= count || top < 0 || top > kMaxLevel) return corrupt;
    std::vector<std::pair<uint32_t, int>> ends;   // of links above the lowest layer, which must reach as high
    for (size_t i = 0; i < count; ++i) {
      const auto id = static_cast<hnswlib::tableint>(i);
      const int levels = in.number<uint8_t>();
      if (!in.good() || levels > top) return corrupt;
      std::memset(index.data_level0_memory_ + i * index.size_data_per_element_, 0, index.size_data_per_element_);
      index.setExternalLabel(id, i);
      std::memcpy(index.getDataByInternalId(id), vector(i), dimensions * sizeof(float));
      if (levels > 0) {
        index.linkLists_[i] = static_cast<char*>(std::calloc(static_cast<size_t>(levels), index.size_links_per_element_));
        if (!index.linkLists_[i]) throw std::bad_alloc();
      }
      // From here on the index frees what it has of this vector.
      index.element_levels_[i] = levels;
      index.cur_element_count = i + 1;
      for (int level = 0; level <= levels; ++level) {
        const auto links = in.number<uint16_t>();
        if (!in.good() || links > (level == 0 ? index.maxM0_ : index.maxM_)) return corrupt;
        hnswlib::linklistsizeint* list = index.get_linklist_at_level(id, level);
        index.setListCount(list, links);
        const std::string_view ids = in.raw(links * sizeof(hnswlib::tableint));
        if (!in.good()) return corrupt;
        std::memcpy(list + 1, ids.data(), ids.size());
        for (size_t link = 1; link <= links; ++link) {
          if (list[link] >= count) return corrupt;
          if (level > 0) ends.emplace_back(list[link], level);
        }
      }
    }
    for (const auto& [id, level] : ends)
      if (index.element_levels_[id] < level) return corrupt;
    if (index.element_levels_[entry] != top) return corrupt;
    index.enterpoint_node_ = entry;
    index.maxlevel_ = top;
    impl->finish();
    return std::unique_ptr<const Graph>(new Graph(std::move(impl)));
  } catch (...) {
    return status_of_exception();
  }
}

Result<std::vector<Graph::Near>> Graph::nearest(const float* query, size_t count) const {
  try {
    auto found = impl_->index.searchKnn(query, std::min(count * kMoreThanWanted, impl_->index.cur_element_count));
    std::vector<Near> near;
    for (; !found.empty(); found.pop()) near.push_back({1 - found.top().first, static_cast<uint32_t>(found.top().second)});
    return near;
  } catch (...) {
    return status_of_exception();
  }
}

}  // namespace wenqu::retrieval
