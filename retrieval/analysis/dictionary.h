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
#include <string_view>
#include <vector>

namespace wenqu::retrieval {

class Dictionary {
 public:
  struct UserWord {
    std::u32string text;   // folded; those that are empty or longer than 20 characters are left out
    double weight = 1;     // 1: it passes for likelier than any of ICU's; the less, the rarer a word it passes for
  };
  explicit Dictionary(std::span<const UserWord> user_words = {});
  ~Dictionary();
  Dictionary(Dictionary&&) noexcept;

  // False where ICU came without its dictionary: every character is then a word.
  bool has_words() const;

  // Where the words of `run` end: the last of `ends` is run.size(). Linear in the run.
  void cut(std::span<const char32_t> run, std::vector<uint32_t>& ends) const;
  // The same by ICU's words alone.
  void cut_plainly(std::span<const char32_t> run, std::vector<uint32_t>& ends) const;

  bool has_user_words() const;
  bool is_user_word(std::u32string_view word) const;
  // Where the users' words that begin at `from` end, and hold more than such characters: "T恤", "iPhone 15". None where
  // there is no such word.
  bool has_phrases() const;
  void phrases_at(std::span<const char32_t> text, size_t from, std::vector<uint32_t>& ends) const;

 private:
  struct Words;
  std::unique_ptr<const Words> words_;
};

}  // namespace wenqu::retrieval
