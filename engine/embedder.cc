#include "engine/embedder.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <mutex>
#include <new>
#include <optional>

#include "base/utf8.h"
#include "engine/cpu/isa.h"
#include "engine/cpu/thread_pool.h"
#include "engine/encoder/config.h"
#include "engine/encoder/forward.h"
#include "engine/encoder/weights.h"
#include "engine/gguf/file.h"
#include "engine/model/config.h"
#include "engine/model/fingerprint.h"
#include "engine/model/forward.h"
#include "engine/model/weights.h"
#include "engine/tokenizer/tokenizer.h"

namespace wenqu::engine {
namespace {

constexpr uint32_t kMostTokens = 8192;
constexpr size_t kBatchTokens = 1024;     // that go through the model together, but for a text that is longer
constexpr size_t kBytesPerToken = 64;     // a text's bytes beyond this many for each token it may have are not looked at

std::string hex(std::span<const uint8_t> bytes) {
  std::string text;
  for (const uint8_t byte : bytes) text += fmt::format("{:02x}", byte);
  return text;
}

// The tokens that stand around a text.
struct Marks {
  std::optional<TokenId> begin;     // [CLS], <s>
  std::optional<TokenId> end;       // [SEP], </s>, <|endoftext|>
  bool doubled = false;             // XLM-RoBERTa has two ends between a pair's texts
};

Result<std::optional<TokenId>> read_mark(const gguf::File& file, const Tokenizer& tokenizer, std::initializer_list<const char*> keys,
                                         std::initializer_list<const char*> texts) {
  for (const char* key : keys) {
    const std::string name = std::string("tokenizer.ggml.") + key;
    if (!file.has(name)) continue;
    const auto id = file.get_uint(name);
    if (!id || *id >= tokenizer.size())
      return Status(StatusCode::corrupt, fmt::format("is not an id below {}", tokenizer.size()), fmt::format("metadata key '{}'", name));
    return std::optional<TokenId>(static_cast<TokenId>(*id));
  }
  for (const char* text : texts)
    if (const auto id = tokenizer.find(text)) return id;
  return std::optional<TokenId>();
}

void normalize(std::span<float> vector) {
  double squares = 0;
  for (const float value : vector) squares += static_cast<double>(value) * static_cast<double>(value);
  const double length = std::sqrt(squares);
  if (length > 0)
    for (float& value : vector) value = static_cast<float>(static_cast<double>(value) / length);
}

// What both kinds of models do alike: texts become tokens, tokens go through the model in batches, in the order of
// their number so that little is computed for nothing.
class TextModel : public Embedder {
 public:
  TextModel(std::shared_ptr<const gguf::File> file, const EmbedderOptions& options)
      : file_(std::move(file)), pool_(cpu::ThreadPoolOptions{options.threads, options.nice}) {}

  const EmbedderInfo& info() const override { return info_; }

  Result<Embeddings> embed(std::span<const std::string> texts, const CancelToken& cancel) const override {
    if (info_.ranks)
      return Status(StatusCode::unsupported, "the model ranks texts and does not embed them: use it for reranking", info_.path);
    Embeddings out;
    std::vector<EncoderText> inputs;
    for (const std::string& text : texts) {
      WENQU_RETURN_IF_ERROR(cancel.status());
      bool cut = false;
      EncoderText& input = inputs.emplace_back();
      if (marks_.begin) input.tokens.push_back(*marks_.begin);
      add_text(text, info_.max_tokens - input.tokens.size() - (marks_.end ? 1 : 0), input.tokens, cut);
      if (marks_.end) input.tokens.push_back(*marks_.end);
      out.truncated += cut;
    }
    WENQU_ASSIGN_OR_RETURN(out.values, run(inputs, cancel));
    return out;
  }

  Result<std::vector<float>> score(const std::string& query, std::span<const std::string> texts,
                                   const CancelToken& cancel) const override {
    if (!info_.ranks)
      return Status(StatusCode::unsupported, "the model has no head that scores a question and a text (pooling type rank)", info_.path);
    bool cut = false;
    std::vector<TokenId> head;
    if (marks_.begin) head.push_back(*marks_.begin);
    add_text(query, info_.max_tokens / 2 - 2, head, cut);
    head.push_back(*marks_.end);
    const size_t first = head.size();
    if (marks_.doubled) head.push_back(*marks_.end);
    std::vector<EncoderText> inputs;
    for (const std::string& text : texts) {
      WENQU_RETURN_IF_ERROR(cancel.status());
      EncoderText& input = inputs.emplace_back(EncoderText{head, first});
      add_text(text, info_.max_tokens - head.size() - 1, input.tokens, cut);
      input.tokens.push_back(*marks_.end);
    }
    return run(inputs, cancel);
  }

 protected:
  Status read_file(const EmbedderOptions& options, uint64_t context) {
    WENQU_ASSIGN_OR_RETURN(tokenizer_, Tokenizer::create(*file_));
    info_.path = file_->path();
    info_.name = file_->get_string("general.name").value_or("");
    info_.architecture = file_->get_string("general.architecture").value_or("");
    info_.identity = hex(fingerprint(*file_, Config()));
    info_.file_bytes = file_->file_bytes();
    for (const gguf::Tensor& tensor : file_->tensors()) info_.parameters += tensor.elements();
    info_.threads = pool_.threads();
    info_.isa = cpu::kernels(isa_).name;
    const uint64_t most = std::min<uint64_t>(context, kMostTokens);
    if (most < 8) return Status(StatusCode::unsupported, "the model's context holds fewer than 8 tokens", file_->path());
    if (options.max_tokens != 0 && options.max_tokens < 8)
      return Status(StatusCode::invalid_argument, "a text needs 8 tokens at least", "max_tokens");
    info_.max_tokens = static_cast<uint32_t>(options.max_tokens == 0 ? most : std::min<uint64_t>(most, options.max_tokens));
    return {};
  }
  Status check_vocabulary(uint64_t rows) const {
    if (tokenizer_->size() <= rows) return {};
    return Status(StatusCode::corrupt, fmt::format("has {} tokens, but the embedding has {} rows", tokenizer_->size(), rows),
                  "metadata key 'tokenizer.ggml.tokens'");
  }

  // The vectors or scores of a batch, one after the other.
  virtual Status compute(const ops::Compute& compute, std::span<const EncoderText> batch, std::vector<float>& out) const = 0;

  // Numbers that compute() gives for a text.
  size_t width() const { return info_.ranks ? 1 : info_.dimensions; }

  const std::shared_ptr<const gguf::File> file_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  EmbedderInfo info_;
  Marks marks_;
  cpu::Isa isa_ = cpu::best_isa();

 private:
  void add_text(const std::string& text, size_t most, std::vector<TokenId>& tokens, bool& cut) const {
    std::string_view looked_at = text;
    if (looked_at.size() > most * kBytesPerToken) looked_at = looked_at.substr(0, utf8_complete_prefix(looked_at.substr(0, most * kBytesPerToken)));
    const std::vector<TokenId> all = tokenizer_->encode(looked_at);
    cut = cut || all.size() > most || looked_at.size() < text.size();
    tokens.insert(tokens.end(), all.begin(), all.begin() + static_cast<std::ptrdiff_t>(std::min(most, all.size())));
  }

  Result<std::vector<float>> run(const std::vector<EncoderText>& texts, const CancelToken& cancel) const {
    std::vector<size_t> order(texts.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return texts[a].tokens.size() < texts[b].tokens.size(); });
    std::vector<float> out(texts.size() * width());
    const std::lock_guard lock(mutex_);
    for (size_t first = 0, end = 0; first < order.size(); first = end) {
      std::vector<EncoderText> batch;
      for (size_t tokens = 0; end < order.size(); ++end) {
        tokens += texts[order[end]].tokens.size();
        if (end > first && tokens > kBatchTokens) break;
        batch.push_back(texts[order[end]]);
      }
      std::vector<float> values;
      Status status;
      try {
        pool_.lead([&] { status = compute({cpu::kernels(isa_), pool_, cancel}, batch, values); });
      } catch (const std::bad_alloc&) {
        return Status(StatusCode::out_of_memory, fmt::format("not enough memory for a text of {} tokens", batch.back().tokens.size()), info_.path);
      }
      WENQU_RETURN_IF_ERROR(status);
      if (!std::all_of(values.begin(), values.end(), [](float value) { return std::isfinite(value); }))
        return Status(StatusCode::internal, "the model gives figures that are no numbers: its file may be damaged", info_.path);
      for (size_t i = 0; i < batch.size(); ++i)
        std::copy_n(values.begin() + static_cast<std::ptrdiff_t>(i * width()), width(),
                    out.begin() + static_cast<std::ptrdiff_t>(order[first + i] * width()));
    }
    return out;
  }

  mutable std::mutex mutex_;
  mutable cpu::ThreadPool pool_;
};

class EncoderEmbedder final : public TextModel {
 public:
  using TextModel::TextModel;

  Status load(const EmbedderOptions& options) {
    WENQU_ASSIGN_OR_RETURN(config_, read_encoder_config(*file_));
    WENQU_ASSIGN_OR_RETURN(weights_, load_encoder_weights(*file_, config_));
    WENQU_RETURN_IF_ERROR(read_file(options, config_.context));
    WENQU_RETURN_IF_ERROR(check_vocabulary(config_.vocabulary));
    WENQU_ASSIGN_OR_RETURN(marks_.begin, read_mark(*file_, *tokenizer_, {"cls_token_id", "bos_token_id"}, {"[CLS]", "<s>"}));
    // The first key is misspelled in the files.
    WENQU_ASSIGN_OR_RETURN(marks_.end, read_mark(*file_, *tokenizer_, {"seperator_token_id", "separator_token_id", "eos_token_id"}, {"[SEP]", "</s>"}));
    if (!marks_.begin || !marks_.end)
      return Status(StatusCode::corrupt, "has no tokens for a text's beginning and end", "metadata key 'tokenizer.ggml.cls_token_id'");
    marks_.doubled = tokenizer_->pre_tokenizer() == "unigram";
    info_.pooling = pooling_name(config_.pooling);
    info_.dimensions = config_.embedding;
    info_.ranks = config_.pooling == Pooling::rank;
    return {};
  }

 private:
  Status compute(const ops::Compute& compute, std::span<const EncoderText> batch, std::vector<float>& out) const override {
    ops::Floats states;
    WENQU_RETURN_IF_ERROR(encode(compute, config_, weights_, batch, states));
    const size_t d = config_.embedding;
    size_t first = 0;
    for (const EncoderText& text : batch) {
      const size_t tokens = text.tokens.size();
      const float* rows = states.data() + first * d;
      first += tokens;
      const auto row = [&](size_t t) { return std::span<const float>(rows + t * d, d); };
      if (config_.pooling == Pooling::rank) {
        WENQU_ASSIGN_OR_RETURN(const std::vector<float> scores, classify(compute, weights_.head, row(0)));
        out.push_back(scores[0]);
        continue;
      }
      const size_t begin = out.size();
      out.resize(begin + d);
      const std::span<float> vector(out.data() + begin, d);
      if (config_.pooling == Pooling::mean) {
        std::vector<double> sums(d);
        for (size_t t = 0; t < tokens; ++t)
          for (size_t i = 0; i < d; ++i) sums[i] += static_cast<double>(row(t)[i]);
        for (size_t i = 0; i < d; ++i) vector[i] = static_cast<float>(sums[i] / static_cast<double>(tokens));
      } else {
        std::copy_n(row(config_.pooling == Pooling::first ? 0 : tokens - 1).begin(), d, vector.begin());
      }
      normalize(vector);
    }
    return {};
  }

  EncoderConfig config_;
  EncoderWeights weights_;
};

// A decoder as Qwen3-Embedding: a token's state knows all before it, so the last one's stands for the text.
class DecoderEmbedder final : public TextModel {
 public:
  using TextModel::TextModel;

  Status load(const EmbedderOptions& options) {
    WENQU_ASSIGN_OR_RETURN(config_, read_config(*file_));
    WENQU_ASSIGN_OR_RETURN(const Pooling pooling, read_pooling(*file_, config_.name, Pooling::last));
    if (pooling != Pooling::last)
      return Status(StatusCode::unsupported,
                    fmt::format("the pooling '{}' of a decoder is not supported; 'last' is", pooling_name(pooling)),
                    fmt::format("metadata key '{}.pooling_type'", config_.name));
    if (config_.moe.router.experts > 0)
      return Status(StatusCode::unsupported, "a mixture of experts is not run as an embedding model", "metadata key 'general.architecture'");
    WENQU_ASSIGN_OR_RETURN(weights_, load_weights(*file_, config_));
    WENQU_RETURN_IF_ERROR(read_file(options, config_.context));
    WENQU_RETURN_IF_ERROR(check_vocabulary(config_.vocabulary));
    if (tokenizer_->add_bos()) marks_.begin = tokenizer_->bos();
    WENQU_ASSIGN_OR_RETURN(marks_.end, read_mark(*file_, *tokenizer_, {"eos_token_id"}, {"<|endoftext|>"}));
    if (!marks_.end)
      return Status(StatusCode::corrupt, "is missing: a text's last token stands for it", "metadata key 'tokenizer.ggml.eos_token_id'");
    info_.pooling = pooling_name(pooling);
    info_.dimensions = config_.embedding;
    return {};
  }

 private:
  Status compute(const ops::Compute& compute, std::span<const EncoderText> batch, std::vector<float>& out) const override {
    for (size_t first = 0, end = 0; first < batch.size(); first = end) {
      size_t tokens = 0;
      do tokens += batch[end++].tokens.size();
      while (end < batch.size() && tokens + batch[end].tokens.size() <= kMaxBatch);
      WENQU_RETURN_IF_ERROR(end == first + 1 ? read_alone(compute, batch[first].tokens, out)
                                             : read_together(compute, batch.subspan(first, end - first), out));
    }
    for (size_t i = 0; i < batch.size(); ++i) normalize({out.data() + i * config_.embedding, config_.embedding});
    return {};
  }

  // A text in pieces, as it may be longer than a batch.
  Status read_alone(const ops::Compute& compute, std::span<const TokenId> tokens, std::vector<float>& out) const {
    KvCache cache(kv_shape(config_, KvType::f32));
    WENQU_RETURN_IF_ERROR(cache.resize(tokens.size()));
    for (size_t at = 0; at < tokens.size(); at += kMaxBatch) {
      const size_t count = std::min(kMaxBatch, tokens.size() - at);
      const Sequence piece{.tokens = tokens.subspan(at, count), .position = at, .cache = &cache, .wanted = Sequence::Logits::none,
                           .deterministic = true, .state = at + count == tokens.size() ? &out : nullptr};
      WENQU_RETURN_IF_ERROR(forward(compute, config_, weights_, {&piece, 1}));
    }
    return {};
  }

  Status read_together(const ops::Compute& compute, std::span<const EncoderText> texts, std::vector<float>& out) const {
    std::vector<KvCache> caches(texts.size(), KvCache(kv_shape(config_, KvType::f32)));
    std::vector<std::vector<float>> states(texts.size());
    std::vector<Sequence> sequences;
    for (size_t i = 0; i < texts.size(); ++i) {
      WENQU_RETURN_IF_ERROR(caches[i].resize(texts[i].tokens.size()));
      sequences.push_back({.tokens = texts[i].tokens, .cache = &caches[i], .wanted = Sequence::Logits::none, .deterministic = true, .state = &states[i]});
    }
    WENQU_RETURN_IF_ERROR(forward(compute, config_, weights_, sequences));
    for (const std::vector<float>& state : states) out.insert(out.end(), state.begin(), state.end());
    return {};
  }

  Config config_;
  Weights weights_;
};

template <typename Kind>
Result<std::shared_ptr<const Embedder>> load_as(std::shared_ptr<const gguf::File> file, const EmbedderOptions& options) {
  auto embedder = std::make_shared<Kind>(std::move(file), options);
  WENQU_RETURN_IF_ERROR(embedder->load(options));
  return std::shared_ptr<const Embedder>(std::move(embedder));
}

}  // namespace

Result<std::shared_ptr<const Embedder>> Embedder::load(const std::string& path, const EmbedderOptions& options) {
  WENQU_RETURN_IF_ERROR(cpu::check_threads(options.threads));
  WENQU_RETURN_IF_ERROR(cpu::check_nice(options.nice));
  try {
    WENQU_ASSIGN_OR_RETURN(std::shared_ptr<const gguf::File> file, gguf::File::open(path));
    const bool encoder = file->get_string("general.architecture") == kEncoderArchitecture;
    auto embedder = encoder ? load_as<EncoderEmbedder>(std::move(file), options) : load_as<DecoderEmbedder>(std::move(file), options);
    const Status status = embedder.status();
    if (!status && status.where().find(path) == std::string::npos) return status.at(path);
    return embedder;
  } catch (const std::bad_alloc&) {
    return Status(StatusCode::out_of_memory, "not enough memory to load the model", path);
  }
}

}  // namespace wenqu::engine
