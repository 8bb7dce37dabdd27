// Turns texts into vectors of one length that lie close where texts mean alike, and scores how well texts answer a
// question, with a model from a GGUF file: a bidirectional encoder (architecture `bert`), or a decoder (qwen3, qwen2,
// llama) whose last token's state stands for the text.
//
// A text that is longer than the model reads is cut at its end. What a text gives does not depend on the texts beside it
// nor on the number of threads.
//
// Thread safety: all members from any thread; one batch is computed at a time. Weights are mapped read-only and shared
// with every other process that maps the same file.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/cancel.h"
#include "base/status.h"

namespace wenqu::engine {

struct EmbedderOptions {
  int threads = 0;           // compute threads; 0: one per core this process may use
  int nice = 0;              // how far they step back for others: 0 (not at all) to 19
  uint32_t max_tokens = 0;   // of a text that are read, its marks included; 0: as many as the model can, 8192 at most
};

struct EmbedderInfo {
  std::string path;
  std::string name;           // general.name
  std::string architecture;   // "bert", "qwen3" ...
  std::string pooling;        // "mean", "first", "last" or "rank"
  std::string identity;       // hex; tells this model file from every other one
  uint32_t dimensions = 0;    // numbers of a vector
  uint32_t max_tokens = 0;    // of a text that are read
  uint64_t parameters = 0;
  uint64_t file_bytes = 0;
  bool ranks = false;         // the file has a head for score(); embed() is refused then
  int threads = 0;
  std::string isa;
};

struct Embeddings {
  std::vector<float> values;   // [texts][dimensions], each of length 1
  size_t truncated = 0;        // texts that were longer than the model reads
};

class Embedder {
 public:
  // Errors: those of gguf::File::open; unsupported (the architecture, the pooling, the tokenizer, a tensor's type);
  // corrupt (a missing or misshapen tensor, an impossible hyper-parameter, by name); invalid_argument (options).
  static Result<std::shared_ptr<const Embedder>> load(const std::string& path, const EmbedderOptions& options = {});
  virtual ~Embedder() = default;

  virtual const EmbedderInfo& info() const = 0;

  // Any bytes are accepted as text. Errors: unsupported (a model that ranks), cancelled, deadline_exceeded,
  // out_of_memory, internal (figures that are no numbers).
  virtual Result<Embeddings> embed(std::span<const std::string> texts, const CancelToken& cancel) const = 0;

  // How well each text answers the query, higher is better; comparable for one query only. The query keeps at most half
  // of what the model reads. Errors: unsupported (a model that does not rank), and as above.
  virtual Result<std::vector<float>> score(const std::string& query, std::span<const std::string> texts,
                                           const CancelToken& cancel) const = 0;
};

}  // namespace wenqu::engine
