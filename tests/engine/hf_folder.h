// Makes a folder as models are published in: config.json, tokenizer.json, safetensors. Whatever it is told, right or wrong.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "tests/support/reference_model.h"

namespace wenqu::test {

// `text` between quotation marks.
std::string json_text(std::string_view text);

class HfFolder {
 public:
  struct Tensor {
    std::string dtype;
    std::vector<uint64_t> shape;   // outermost first
    std::string bytes;
  };

  explicit HfFolder(std::string path);
  ~HfFolder();   // removes it
  HfFolder(const HfFolder&) = delete;
  HfFolder& operator=(const HfFolder&) = delete;

  const std::string& path() const { return path_; }
  void write_file(const std::string& name, const std::string& content) const;
  // config.json from `config`, and the tensors: in one file, or in several with an index.
  void write(size_t shards = 1) const;
  void add_f32(const std::string& name, std::vector<uint64_t> shape, const std::vector<float>& values);

  std::map<std::string, std::string> config;    // member to JSON
  std::map<std::string, Tensor> tensors;

 private:
  std::string path_;
};

// A safetensors file.
std::string safetensors_bytes(const std::map<std::string, HfFolder::Tensor>& tensors);

// The mini vocabulary as tokenizer.json, with the regular expressions of a pre-tokenizer.
std::string mini_tokenizer_json(const std::vector<std::string>& patterns);
extern const std::vector<std::string> kV3Patterns, kQwen2Patterns, kLlamaPatterns;

// The reference model under Hugging Face's names and in its layout, in place of what tensors there were.
void fill(HfFolder& folder, const ReferenceOptions& options);

}  // namespace wenqu::test
