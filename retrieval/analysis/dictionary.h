// Chinese (and Japanese) words: cuts a run of characters into the words that are together the
// likeliest, each word with the cost -log(frequency) that the dictionary gives it.
//
// The dictionary is the one ICU ships for its own word breaks, about 316,000 words; read as a trie in
// place, so that nothing is loaded. Words of the user come on top. Thread safety: a Dictionary is
// immutable once made; any number of threads may use one.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace wenqu::retrieval {

class Dictionary {
 public:
  // `user_words` are folded; one of them is taken before any of ICU's in its place.
  explicit Dictionary(std::span<const std::u32string> user_words = {});
  ~Dictionary();
  Dictionary(Dictionary&&) noexcept;

  // False where ICU came without its dictionary: every character is then a word.
  bool has_words() const;

  // Where the words of `run` end: the last of `ends` is run.size(). Linear in the run.
  void cut(std::span<const char32_t> run, std::vector<uint32_t>& ends) const;

 private:
  struct Words;
  std::unique_ptr<const Words> words_;
};

}  // namespace wenqu::retrieval
