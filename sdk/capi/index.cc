#include <fmt/format.h>

#include <memory>

#include "retrieval/documents/reader.h"
#include "retrieval/index.h"
#include "sdk/capi/guard.h"
#include "sdk/capi/models.h"
#include "sdk/capi/path.h"

using namespace wenqu;
using namespace wenqu::capi;

struct wq_index {
  std::unique_ptr<retrieval::Index> index;
};

extern "C" {

wq_status wq_index_open(const char* directory, wq_index** out) { return wq_index_open_with_models(directory, nullptr, out); }

wq_status wq_index_open_with_models(const char* directory, const wq_search_models* models, wq_index** out) {
  return guarded([&]() -> Status {
    if (!out) return null_argument("out");
    *out = nullptr;
    if (!directory) return null_argument("directory");
    WENQU_ASSIGN_OR_RETURN(const std::string place, lasting_place(directory));
    WENQU_ASSIGN_OR_RETURN(const SearchModels loaded, search_models(models));
    WENQU_ASSIGN_OR_RETURN(auto index, retrieval::Index::open(place, retrieval::Index::Mode::write, {.models = loaded.models}));
    *out = new wq_index{std::move(index)};
    return {};
  });
}

wq_status wq_index_add_json(wq_index* index, const char* json, size_t length) {
  return guarded([&]() -> Status {
    if (!index) return null_argument("index");
    if (!json) return null_argument("json");
    const std::string_view text = length == WQ_NUL_TERMINATED ? std::string_view(json) : std::string_view(json, length);
    WENQU_ASSIGN_OR_RETURN(const retrieval::Document document,
                           retrieval::parse_document_json(text, retrieval::Source::file));
    return index->index->add(document);
  });
}

wq_status wq_index_add_path(wq_index* index, const char* path, const char* source, uint64_t* documents,
                            uint64_t* problems) {
  return guarded([&]() -> Status {
    if (documents) *documents = 0;
    if (problems) *problems = 0;
    if (!index) return null_argument("index");
    if (!path) return null_argument("path");
    retrieval::ReadOptions options;
    if (source) {
      const auto parsed = retrieval::parse_source(source);
      if (!parsed)
        return Status(StatusCode::invalid_argument, "must be one of official_account, video, web, chat, file", "source");
      options.source = *parsed;
    }
    Status first_problem;
    retrieval::ReadSink sink;
    uint64_t before = 0;    // added until now
    uint64_t refused = 0;   // by the index: too large, or an id that is too long
    sink.document = [&](retrieval::Document&& document) {
      const Status added = index->index->add(document);
      if (added) ++before;
      if (added.code() != StatusCode::invalid_argument && added.code() != StatusCode::limit_exceeded) return added;
      if (first_problem.is_ok()) first_problem = added;
      ++refused;
      return Status();
    };
    sink.problem = [&](const Status& problem) {
      if (first_problem.is_ok()) first_problem = problem;
    };
    const Result<retrieval::ReadCounts> counts = retrieval::read_documents(path, options, sink, {});
    if (const Status failed = counts.status(); !failed) {
      if (before == 0) return failed;
      return Status(failed.code(), fmt::format("{} ({} documents were added before)", failed.message(), before), failed.where());
    }
    if (documents) *documents = counts->documents - refused;
    if (problems) *problems = counts->problems + refused;
    remember(first_problem);
    return {};
  });
}

wq_status wq_index_remove(wq_index* index, const char* id, size_t length) {
  return guarded([&]() -> Status {
    if (!index) return null_argument("index");
    if (!id) return null_argument("id");
    return index->index->remove(length == WQ_NUL_TERMINATED ? std::string(id) : std::string(id, length));
  });
}

wq_status wq_index_commit(wq_index* index) {
  return guarded([&]() -> Status {
    if (!index) return null_argument("index");
    return index->index->commit();
  });
}

wq_status wq_index_count(wq_index* index, uint64_t* documents) {
  return guarded([&]() -> Status {
    if (documents) *documents = 0;
    if (!index) return null_argument("index");
    if (!documents) return null_argument("documents");
    WENQU_RETURN_IF_ERROR(index->index->refresh());   // which a cluster that cannot be asked refuses
    *documents = index->index->stats().documents;
    return {};
  });
}

void wq_index_close(wq_index* index) {
  guarded([&]() -> Status {
    delete index;
    return {};
  });
}

}  // extern "C"
