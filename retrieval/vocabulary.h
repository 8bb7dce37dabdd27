// What the owner of an index teaches it: words of their own, words that mean the same, and whether Chinese is found by
// its pinyin too. It is kept with the index, so that whoever opens it asks as its documents were read (docs/words.md).
//
// Thread safety: plain values and pure functions.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace wenqu::retrieval {

// A name or term that no dictionary has: "问渠", "T恤".
struct UserWord {
  std::string text;
  double weight = 1;   // above 0, at most 1: how surely these characters are this word where others are possible
  bool operator==(const UserWord&) const = default;
};

// Words or phrases that mean the same: whoever asks for one of `from` finds those of `to`, or where that is empty, the
// others of `from`.
struct SynonymRule {
  std::vector<std::string> from;
  std::vector<std::string> to;
  bool operator==(const SynonymRule&) const = default;
};

struct Vocabulary {
  std::vector<UserWord> words;
  std::vector<SynonymRule> synonyms;   // looked at when a question is asked, so they may change at any time
  bool pinyin = false;                 // "beijing daxue", "beijingdaxue" and "bjdx" find 北京大学
  bool operator==(const Vocabulary&) const = default;
};

// What of it is to change; absent: stays.
struct VocabularyChange {
  std::optional<std::vector<UserWord>> words;
  std::optional<std::vector<SynonymRule>> synonyms;
  std::optional<bool> pinyin;
  bool any() const { return words || synonyms || pinyin; }
};

inline constexpr size_t kMaxVocabularyBytes = size_t{16} << 20;   // of a file
inline constexpr size_t kMaxUserWords = 200'000, kMaxUserWordChars = 20;
inline constexpr size_t kMaxSynonymRules = 50'000, kMaxSynonymsOfRule = 32, kMaxSynonymChars = 64;

// A word a line, in UTF-8; behind a tab its weight, if it has one. Lines that begin with # are comments.
// Errors: invalid_argument and limit_exceeded, naming the line.
Result<std::vector<UserWord>> parse_user_words(std::string_view text);
// A rule a line: "土豆, 马铃薯, potato" mean the same; "电脑 => 计算机, 笔记本电脑": who asks for the first finds the others
// too, but not the other way. Commas may be full-width ones. Errors: as above.
Result<std::vector<SynonymRule>> parse_synonyms(std::string_view text);
// The same of files. Errors: as above, naming the file; not_found, io_error.
Result<std::vector<UserWord>> read_user_words(const std::string& path);
Result<std::vector<SynonymRule>> read_synonyms(const std::string& path);

// Whether it is as the two above would give it. Errors: invalid_argument and limit_exceeded, naming the word.
Status check_vocabulary(const Vocabulary& vocabulary);
Vocabulary changed(Vocabulary vocabulary, const VocabularyChange& change);
// Whether documents get the same terms by both.
bool same_terms(const Vocabulary& a, const Vocabulary& b);

// As an index keeps it.
std::string format_vocabulary(const Vocabulary& vocabulary);
// Errors: corrupt.
Result<Vocabulary> parse_vocabulary(std::string_view text);

}  // namespace wenqu::retrieval
