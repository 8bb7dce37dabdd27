// Models for tests that need no file: vectors that mean something, made of words and characters.
#pragma once

#include <algorithm>
#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/utf8.h"
#include "retrieval/embed.h"

namespace wenqu::retrieval {

inline constexpr size_t kToyDimensions = 64;

// A text's words and pairs of characters, each at a place that its digest names; words of one meaning at one place.
inline std::vector<float> toy_vector(const std::string& text) {
  static const std::map<std::string, std::string> kMeanings = {{"automobile", "car"}, {"vehicle", "car"}, {"physician", "doctor"},
                                                               {"medic", "doctor"},   {"轿车", "car"},    {"大夫", "doctor"}};
  std::vector<float> vector(kToyDimensions);
  const auto add = [&](const std::string& token, float weight) {
    const auto known = kMeanings.find(token);
    uint32_t hash = 2166136261u;
    for (const char c : known == kMeanings.end() ? token : known->second) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619u;
    vector[hash % kToyDimensions] += weight;
  };
  std::string word;
  std::string before;
  for (size_t pos = 0; pos < text.size();) {
    const size_t begin = pos;
    const char32_t c = utf8_next(text, pos);
    const std::string character = text.substr(begin, pos - begin);
    if (c < 128 && (std::isalnum(static_cast<int>(c)) != 0)) {
      word += static_cast<char>(std::tolower(static_cast<int>(c)));
      continue;
    }
    if (!word.empty()) add(word, 1);
    word.clear();
    if (c >= 0x4E00 && !before.empty()) add(before + character, 1);
    before = c >= 0x4E00 ? character : std::string();
  }
  if (!word.empty()) add(word, 1);
  return vector;
}

struct ToyModel {
  std::atomic<size_t> passages{0}, queries{0};   // texts embedded
  std::atomic<bool> fails{false};
};

inline EmbeddingModel toy_embedding(const std::shared_ptr<ToyModel>& model, std::string identity = "toy") {
  return {std::move(identity), kToyDimensions,
          [model](std::span<const std::string> texts, TextRole role, const CancelToken& cancel) -> Result<std::vector<float>> {
            if (const Status status = cancel.status(); !status) return status;
            if (model->fails) return Status(StatusCode::io_error, "the model is away");
            (role == TextRole::query ? model->queries : model->passages) += texts.size();
            std::vector<float> all;
            for (const std::string& text : texts) {
              const std::vector<float> one = toy_vector(text);
              all.insert(all.end(), one.begin(), one.end());
            }
            return all;
          }};
}

}  // namespace wenqu::retrieval
