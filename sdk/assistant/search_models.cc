#include "sdk/assistant/search_models.h"

#include <fmt/format.h>

#include <memory>
#include <vector>

#include "base/sha256.h"
#include "engine/embedder.h"
#include "engine/model_use.h"

namespace wenqu::assistant {
namespace {

std::string digest_of(std::string_view text) {
  Sha256 hash;
  hash.add(std::as_bytes(std::span(text)));
  std::string hex;
  for (const uint8_t byte : hash.finish()) hex += fmt::format("{:02x}", byte);
  return hex.substr(0, 16);
}

Result<retrieval::RerankFunction> load_reranker(const SearchModelOptions& options) {
  WENQU_ASSIGN_OR_RETURN(const engine::ModelUse use, engine::find_model_use(options.rerank_path));
  if (use == engine::ModelUse::embed)
    return Status(StatusCode::invalid_argument, "the model embeds texts and does not rank them: give it for embedding", options.rerank_path);
  if (use == engine::ModelUse::generate) {
    WENQU_ASSIGN_OR_RETURN(std::shared_ptr<const engine::Model> model,
                           engine::Model::load(options.rerank_path, {.threads = options.threads, .nice = options.nice}));
    WENQU_ASSIGN_OR_RETURN(auto judge, engine::RelevanceJudge::create(std::move(model)));
    return rerank_with(std::move(judge));
  }
  WENQU_ASSIGN_OR_RETURN(std::shared_ptr<const engine::Embedder> model,
                         engine::Embedder::load(options.rerank_path, {.threads = options.threads, .nice = options.nice}));
  return retrieval::RerankFunction([model](const std::string& query, std::span<const std::string> texts, const CancelToken& cancel) {
    return model->score(query, texts, cancel);
  });
}

}  // namespace

TextPrefixes trained_prefixes(std::string_view model_name) {
  std::string name;
  for (const char c : model_name) name += c == ' ' || c == '_' ? '-' : c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  const auto has = [&](std::string_view part) { return name.find(part) != name.npos; };
  if (has("e5-") && !has("instruct")) return {"query: ", "passage: "};
  if (has("qwen3-embedding"))
    return {"Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery:", ""};
  if (has("bge-") && has("-zh")) return {"为这个句子生成表示以用于检索相关文章：", ""};
  if (has("bge-") && has("-en")) return {"Represent this sentence for searching relevant passages: ", ""};
  return {};
}

retrieval::RerankFunction rerank_with(std::shared_ptr<const engine::RelevanceJudge> judge) {
  return [judge = std::move(judge)](const std::string& query, std::span<const std::string> texts, const CancelToken& cancel) {
    return judge->score(query, texts, cancel);
  };
}

Result<retrieval::IndexModels> load_search_models(const SearchModelOptions& options) {
  retrieval::IndexModels models;
  const engine::EmbedderOptions load{.threads = options.threads, .nice = options.nice};
  if (!options.embed_path.empty()) {
    WENQU_ASSIGN_OR_RETURN(std::shared_ptr<const engine::Embedder> model, engine::Embedder::load(options.embed_path, load));
    if (model->info().ranks)
      return Status(StatusCode::invalid_argument, "the model ranks texts and does not embed them: give it for reranking", options.embed_path);
    const TextPrefixes trained = trained_prefixes(model->info().name);
    const std::string query = options.query_prefix.value_or(trained.query), passage = options.passage_prefix.value_or(trained.passage);
    models.embedding.identity = fmt::format("gguf {} {}{}", model->info().identity, model->info().max_tokens,
                                            passage.empty() ? "" : " " + digest_of(passage));
    models.embedding.dimensions = model->info().dimensions;
    models.embedding.embed = [model, query, passage](std::span<const std::string> texts, retrieval::TextRole role,
                                                     const CancelToken& cancel) -> Result<std::vector<float>> {
      const std::string& prefix = role == retrieval::TextRole::query ? query : passage;
      std::vector<std::string> prefixed;
      for (const std::string& text : texts) prefixed.push_back(prefix + text);
      WENQU_ASSIGN_OR_RETURN(engine::Embeddings embeddings, model->embed(prefixed, cancel));
      return std::move(embeddings.values);
    };
  }
  if (!options.rerank_path.empty()) {
    WENQU_ASSIGN_OR_RETURN(models.rerank, load_reranker(options));
  }
  return models;
}

}  // namespace wenqu::assistant
