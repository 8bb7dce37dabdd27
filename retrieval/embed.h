// The models that a search may use, as functions: who searches need not know where vectors and scores come from, and a
// host may give its own. Everything works without any.
//
// Thread safety: the functions are called from any thread, several at once when several searches run.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/cancel.h"
#include "base/status.h"

namespace wenqu::retrieval {

// Many models are trained to see which side of a search a text is on.
enum class TextRole { query, passage };

struct EmbeddingModel {
  // Tells this model, with all that changes its vectors, from every other one; kept in the index, 1 to 256 bytes.
  std::string identity;
  size_t dimensions = 0;   // 1 to 65,536
  // The vectors of the texts one after the other, [texts][dimensions]; any length but no figures that are no numbers.
  std::function<Result<std::vector<float>>(std::span<const std::string> texts, TextRole role, const CancelToken& cancel)> embed;

  explicit operator bool() const { return static_cast<bool>(embed); }
};

// How well each text answers the query: a number for each, higher is better.
using RerankFunction =
    std::function<Result<std::vector<float>>(const std::string& query, std::span<const std::string> texts, const CancelToken& cancel)>;

}  // namespace wenqu::retrieval
