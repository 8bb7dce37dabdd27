#include "sdk/assistant/search_models.h"

#include <fmt/format.h>

#include <memory>
#include <vector>

#include "base/sha256.h"
#include "engine/embedder.h"

namespace wenqu::assistant {
namespace {

std::string digest_of(std::string_view text) {
  Sha256 hash;
  hash.add(std::as_bytes(std::span(text)));
  std::string hex;
  for (const uint8_t byte : hash.finish()) hex += fmt::format("{:02x}", byte);
  return hex.substr(0, 16);
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
    WENQU_ASSIGN_OR_RETURN(std::shared_ptr<const engine::Embedder> model, engine::Embedder::load(options.rerank_path, load));
    if (!model->info().ranks)
      return Status(StatusCode::invalid_argument, "the model has no head that scores a question and a text (pooling type rank)", options.rerank_path);
    models.rerank = [model](const std::string& query, std::span<const std::string> texts, const CancelToken& cancel) {
      return model->score(query, texts, cancel);
    };
  }
  return models;
}

}  // namespace wenqu::assistant
