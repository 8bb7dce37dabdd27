#include "sdk/capi/models.h"

#include <fmt/format.h>

#include <cstddef>
#include <vector>

#include "sdk/assistant/open.h"
#include "sdk/assistant/search_models.h"
#include "sdk/capi/guard.h"
#include "sdk/capi/options.h"

using namespace wenqu;
using namespace wenqu::capi;

namespace {

constexpr size_t kRequiredModels = sizeof(wq_search_models);
static_assert(offsetof(wq_search_models, embed_again) + sizeof(wq_search_models::embed_again) == sizeof(wq_search_models));

// Texts as a callback takes them.
struct Texts {
  explicit Texts(std::span<const std::string> texts) {
    for (const std::string& text : texts) data.push_back(text.c_str()), lengths.push_back(text.size());
  }
  std::vector<const char*> data;
  std::vector<size_t> lengths;
};

Status callback_status(int32_t result, const char* name) {
  if (result == 0) return {};
  return Status(StatusCode::cancelled, fmt::format("the host's function gave {}", result), name);
}

}  // namespace

namespace wenqu::capi {

Result<SearchModels> search_models(const wq_search_models* given, const std::string& answering_path) {
  SearchModels result;
  if (!given) return result;
  wq_search_models options;
  WENQU_RETURN_IF_ERROR(copy_options(given, kRequiredModels, options));
  if (options.threads < 0 || options.threads > 1024)
    return Status(StatusCode::invalid_argument, "must be 1 to 1024, or 0 for one per core", "models.threads");
  if (options.on_embed && options.embed_path) return Status(StatusCode::invalid_argument, "give a file or a function, not both", "models.on_embed");
  if (options.on_rerank && options.rerank_path) return Status(StatusCode::invalid_argument, "give a file or a function, not both", "models.on_rerank");
  assistant::SearchModelOptions load;
  if (options.embed_path) load.embed_path = options.embed_path;
  result.answering_model_ranks = options.rerank_path && assistant::is_same_file(options.rerank_path, answering_path);
  if (options.rerank_path && !result.answering_model_ranks) load.rerank_path = options.rerank_path;
  if (options.query_prefix) load.query_prefix = options.query_prefix;
  if (options.passage_prefix) load.passage_prefix = options.passage_prefix;
  load.threads = options.threads;
  retrieval::IndexModels& models = result.models;
  WENQU_ASSIGN_OR_RETURN(models, assistant::load_search_models(load));
  models.embed_again = options.embed_again != 0;
  if (options.on_embed) {
    if (!options.embed_identity || !*options.embed_identity) return null_argument("models.embed_identity");
    if (options.embed_dimensions == 0 || options.embed_dimensions > 65536)
      return Status(StatusCode::invalid_argument, "must be 1 to 65536", "models.embed_dimensions");
    models.embedding.identity = options.embed_identity;
    models.embedding.dimensions = options.embed_dimensions;
    models.embedding.embed = [embed = options.on_embed, user = options.user, dimensions = size_t{options.embed_dimensions}](
                                 std::span<const std::string> texts, retrieval::TextRole role, const CancelToken& cancel) -> Result<std::vector<float>> {
      WENQU_RETURN_IF_ERROR(cancel.status());
      const Texts passed(texts);
      std::vector<float> vectors(texts.size() * dimensions);
      WENQU_RETURN_IF_ERROR(callback_status(
          embed(passed.data.data(), passed.lengths.data(), texts.size(), role == retrieval::TextRole::query, vectors.data(), user), "on_embed"));
      return vectors;
    };
  }
  if (options.on_rerank)
    models.rerank = [rerank = options.on_rerank, user = options.user](const std::string& query, std::span<const std::string> texts,
                                                                     const CancelToken& cancel) -> Result<std::vector<float>> {
      WENQU_RETURN_IF_ERROR(cancel.status());
      const Texts passed(texts);
      std::vector<float> scores(texts.size());
      WENQU_RETURN_IF_ERROR(callback_status(
          rerank(query.c_str(), query.size(), passed.data.data(), passed.lengths.data(), texts.size(), scores.data(), user), "on_rerank"));
      return scores;
    };
  return result;
}

}  // namespace wenqu::capi

extern "C" {

wq_status wq_search_models_init(wq_search_models* models, uint32_t struct_size) {
  return guarded([&] { return init_options(models, struct_size, kRequiredModels); });
}

}  // extern "C"
