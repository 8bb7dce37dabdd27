#include "sdk/capi/assistant.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <string_view>

#include "sdk/capi/guard.h"
#include "sdk/capi/models.h"
#include "sdk/capi/options.h"
#include "sdk/capi/path.h"
#include "sdk/protocol/event_json.h"
#include "sdk/protocol/request_json.h"

using namespace wenqu;
using namespace wenqu::capi;

namespace {

constexpr size_t kRequiredOptions = offsetof(wq_assistant_options, kv_type);
constexpr size_t kRequiredSearchOptions = sizeof(wq_search_options);
static_assert(offsetof(wq_assistant_options, reserved) + sizeof(wq_assistant_options::reserved) == sizeof(wq_assistant_options));
static_assert(offsetof(wq_search_options, filter_json) + sizeof(wq_search_options::filter_json) == sizeof(wq_search_options));

// `where`: how the caller names the query.
Status search(const wq_assistant& assistant, std::string_view query, const char* where, retrieval::SearchRequest& request, wq_string*& out) {
  if (query.size() > retrieval::kMaxQueryBytes)   // told before it is copied
    return Status(StatusCode::limit_exceeded, fmt::format("is longer than {} bytes: shorten it", retrieval::kMaxQueryBytes), where);
  request.query = query;
  WENQU_ASSIGN_OR_RETURN(const retrieval::SearchResponse found, assistant.opened.index->search(request, {}));
  out = new wq_string{protocol::search_to_json(request.query, found)};
  return {};
}

}  // namespace

extern "C" {

wq_status wq_assistant_options_init(wq_assistant_options* options, uint32_t struct_size) {
  return guarded([&] { return init_options(options, struct_size, kRequiredOptions); });
}

wq_status wq_assistant_open(const wq_assistant_options* given, wq_assistant** out) {
  return guarded([&]() -> Status {
    if (!out) return null_argument("out");
    *out = nullptr;
    wq_assistant_options options;
    WENQU_RETURN_IF_ERROR(copy_options(given, kRequiredOptions, options));
    if (!options.index_directory) return null_argument("options.index_directory");
    if (options.threads < 0 || options.threads > 1024)
      return Status(StatusCode::invalid_argument, "must be 1 to 1024, or 0 for one per core", "options.threads");
    if (options.nice < 0 || options.nice > 19) return Status(StatusCode::invalid_argument, "must be 0 to 19", "options.nice");
    assistant::OpenOptions open;
    WENQU_ASSIGN_OR_RETURN(open.index_directory, lasting_place(options.index_directory));
    if (options.model_path) open.model_path = options.model_path;
    open.model.threads = options.threads;
    open.model.nice = options.nice;
    open.model.memory_budget = options.memory_budget;
    if (options.device) open.model.device = options.device;
    if (options.gpu_layers < -1) return Status(StatusCode::invalid_argument, "must be -1, 0 or a number of layers", "options.gpu_layers");
    if (options.cpu_experts < -1) return Status(StatusCode::invalid_argument, "must be -1, 0 or a number of layers", "options.cpu_experts");
    // 0 stands for what the engine has -1 for, so that options set to zeros are the default.
    if (options.gpu_layers != 0) open.model.gpu_layers = std::max(options.gpu_layers, 0);
    if (options.cpu_experts != 0) open.model.cpu_experts = std::max(options.cpu_experts, 0);
    if (options.chat_template) open.model.chat_template = options.chat_template;
    if (options.kv_type) {
      const auto type = engine::parse_kv_type(options.kv_type);
      if (!type) return Status(StatusCode::invalid_argument, "must be f32, f16, bf16, q8_0 or fp8", "options.kv_type");
      open.model.kv_type = open.timeline.kv_type = *type;
    }
    if (options.deterministic > 1) return Status(StatusCode::invalid_argument, "must be 0 or 1", "options.deterministic");
    open.timeline.deterministic = options.deterministic == 1;
    switch (options.repack) {
      case 0: open.model.repack = engine::Repack::never; break;
      case 1: open.model.repack = engine::Repack::always; break;
      case 2: open.model.repack = engine::Repack::when_ample; break;
      default: return Status(StatusCode::invalid_argument, "must be 0, 1 or 2", "options.repack");
    }
    constexpr int32_t kMostDrafted = engine::DraftOptions{}.max_tokens;
    if (options.draft_tokens < -1 || options.draft_tokens > kMostDrafted)
      return Status(StatusCode::invalid_argument, fmt::format("must be -1 to {}", kMostDrafted), "options.draft_tokens");
    if (options.draft_tokens != 0) open.drafts.max_tokens = static_cast<size_t>(std::max(options.draft_tokens, 0));
    if (options.on_progress)
      open.model.progress = [&](double fraction) { return options.on_progress(fraction, options.user) == 0; };
    WENQU_ASSIGN_OR_RETURN(SearchModels search, search_models(options.models, open.model_path));
    open.search = std::move(search.models);
    open.model_ranks = search.answering_model_ranks;
    WENQU_ASSIGN_OR_RETURN(auto opened, assistant::open_assistant(open));
    *out = new wq_assistant{std::move(opened)};
    return {};
  });
}

wq_status wq_assistant_refresh(wq_assistant* assistant) {
  return guarded([&]() -> Status {
    if (!assistant) return null_argument("assistant");
    return assistant->opened.index->refresh();
  });
}

wq_status wq_search(wq_assistant* assistant, const char* query, size_t length, uint32_t top, wq_string** out) {
  return guarded([&]() -> Status {
    if (!out) return null_argument("out");
    *out = nullptr;
    if (!assistant) return null_argument("assistant");
    if (!query) return null_argument("query");
    if (length == WQ_NUL_TERMINATED) length = std::strlen(query);
    retrieval::SearchRequest request;
    if (top > 0) request.top = top;
    return search(*assistant, {query, length}, "query", request, *out);
  });
}

wq_status wq_search_options_init(wq_search_options* options, uint32_t struct_size) {
  return guarded([&] { return init_options(options, struct_size, kRequiredSearchOptions); });
}

wq_status wq_search_with_options(wq_assistant* assistant, const wq_search_options* given, wq_string** out) {
  return guarded([&]() -> Status {
    if (!out) return null_argument("out");
    *out = nullptr;
    if (!assistant) return null_argument("assistant");
    wq_search_options options;
    WENQU_RETURN_IF_ERROR(copy_options(given, kRequiredSearchOptions, options));
    if (!options.query) return null_argument("options.query");
    const size_t length = options.query_length == 0 || options.query_length == WQ_NUL_TERMINATED ? std::strlen(options.query) : options.query_length;
    retrieval::SearchRequest request;
    if (options.top > 0) request.top = options.top;
    request.offset = options.offset;
    request.collapse_duplicates = options.all_copies == 0;
    if (options.filter_json) {
      assistant::AskRequest filtered;
      if (const Status read = protocol::parse_filter(options.filter_json, filtered); !read) return read.at("options.filter_json");
      request.sources = std::move(filtered.sources);
      request.filter = std::move(filtered.filter);
    }
    return search(*assistant, {options.query, length}, "options.query", request, *out);
  });
}

void wq_assistant_close(wq_assistant* assistant) {
  guarded([&]() -> Status {
    delete assistant;
    return {};
  });
}

wq_status wq_estimate(const char* model_path, uint64_t context_tokens, wq_string** out) {
  return guarded([&]() -> Status {
    if (!out) return null_argument("out");
    *out = nullptr;
    if (!model_path) return null_argument("model_path");
    WENQU_ASSIGN_OR_RETURN(const engine::MemoryEstimate estimate, engine::Model::estimate(model_path, context_tokens ? context_tokens : 4096));
    *out = new wq_string{fmt::format(
        R"({{"weights":{},"kv_cache":{},"scratch":{},"prefix_cache":{},"total":{},"least":{},"context_tokens":{}}})", estimate.weights,
        estimate.kv_cache, estimate.scratch, estimate.prefix_cache, estimate.total(), estimate.least, estimate.context_tokens)};
    return {};
  });
}

}  // extern "C"
