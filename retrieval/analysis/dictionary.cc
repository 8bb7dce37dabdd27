#include "retrieval/analysis/dictionary.h"

#include <algorithm>

#include <unicode/ucharstrie.h>
#include <unicode/ucharstriebuilder.h>
#include <unicode/udata.h>
#include <unicode/unistr.h>

#include "retrieval/analysis/char_class.h"

namespace wenqu::retrieval {
namespace {

constexpr uint32_t kUnknownCost = 255;  // of a character that is no word: the largest that ICU gives
constexpr uint32_t kUserCost = 1;        // of the user's at their full weight
constexpr size_t kMaxWordChars = 20;

struct CloseData {
  void operator()(UDataMemory* data) const { udata_close(data); }
};

// The dictionary in ICU's data: eight numbers, of which the first says where the trie begins and the
// fifth what kind it is (1: of 16-bit units, with values: 8).
const char16_t* trie_in(const UDataMemory* data) {
  constexpr int32_t kUnitsWithValues = 1 | 8;
  const auto* numbers = static_cast<const int32_t*>(udata_getMemory(const_cast<UDataMemory*>(data)));
  if (!numbers || numbers[0] < 32 || numbers[0] % 2 != 0 || (numbers[4] & 15) != kUnitsWithValues) return nullptr;
  return reinterpret_cast<const char16_t*>(reinterpret_cast<const char*>(numbers) + numbers[0]);
}

// Words in a trie, and where it stands after each first character that is common: most of its branches
// are at the root, and every search begins there.
class WordTrie {
 public:
  explicit WordTrie(const char16_t* trie) : trie_(trie), after_(kLast - kFirst + 1) {
    for (char32_t c = kFirst; c <= kLast; ++c) {
      icu::UCharsTrie at(trie_);
      After& after = after_[c - kFirst];
      after.result = at.firstForCodePoint(static_cast<UChar32>(c));
      if (after.result == USTRINGTRIE_NO_MATCH) continue;
      after.state = at.getState64();
      if (USTRINGTRIE_HAS_VALUE(after.result)) after.cost = cost_at(at);
    }
  }

  // Calls found(end, cost) for each word that begins at `from`.
  template <class Found>
  void words_at(std::span<const char32_t> run, size_t from, const Found& found) const {
    icu::UCharsTrie at(trie_);
    UStringTrieResult result;
    if (const char32_t first = run[from]; first >= kFirst && first <= kLast) {
      const After& after = after_[first - kFirst];
      result = after.result;
      if (USTRINGTRIE_HAS_VALUE(result)) found(from + 1, after.cost);
      if (!USTRINGTRIE_HAS_NEXT(result)) return;
      at.resetToState64(after.state);
    } else {
      result = at.firstForCodePoint(static_cast<UChar32>(first));
      if (USTRINGTRIE_HAS_VALUE(result)) found(from + 1, cost_at(at));
    }
    for (size_t to = from + 1; USTRINGTRIE_HAS_NEXT(result) && to < std::min(run.size(), from + kMaxWordChars); ++to) {
      result = at.nextForCodePoint(static_cast<UChar32>(run[to]));
      if (USTRINGTRIE_HAS_VALUE(result)) found(to + 1, cost_at(at));
    }
  }

 private:
  static constexpr char32_t kFirst = 0x3040, kLast = 0x9FFF;  // kana and ideographs
  struct After {
    uint64_t state = 0;
    UStringTrieResult result = USTRINGTRIE_NO_MATCH;
    uint32_t cost = 0;
  };

  static uint32_t cost_at(const icu::UCharsTrie& at) { return static_cast<uint32_t>(std::clamp(at.getValue(), 0, 255)); }

  const char16_t* trie_;
  std::vector<After> after_;
};

}  // namespace

struct Dictionary::Words {
  std::unique_ptr<UDataMemory, CloseData> data;
  std::vector<char16_t> user, phrases;   // the user's, in the same form
  std::vector<WordTrie> tries;           // ICU's, the user's; where there is one
  std::vector<WordTrie> phrase_tries;    // one, where there are phrases
  bool has_icu = false;                  // the first of tries
  std::vector<std::u32string> user_words;   // in order

  void cut(std::span<const WordTrie> by, std::span<const char32_t> run, std::vector<uint32_t>& ends) const;
};

namespace {

bool is_of_syllables(const std::u32string& word) {
  return std::all_of(word.begin(), word.end(), [](char32_t c) { return classify(c) == CharClass::syllable; });
}

// Words in the order of their characters, each once, as a trie in ICU's form; empty when it cannot be made.
std::vector<char16_t> make_trie(const std::vector<Dictionary::UserWord>& words) {
  if (words.empty()) return {};
  UErrorCode error = U_ZERO_ERROR;
  icu::UCharsTrieBuilder builder(error);
  for (const Dictionary::UserWord& word : words) {
    const auto cost = kUserCost + static_cast<uint32_t>((1 - std::clamp(word.weight, 0.0, 1.0)) * (kUnknownCost - kUserCost));
    builder.add(icu::UnicodeString::fromUTF32(reinterpret_cast<const UChar32*>(word.text.data()), static_cast<int32_t>(word.text.size())),
                static_cast<int32_t>(cost), error);
  }
  icu::UnicodeString trie;
  builder.buildUnicodeString(USTRINGTRIE_BUILD_SMALL, trie, error);
  if (U_FAILURE(error)) return {};
  return {trie.getBuffer(), trie.getBuffer() + trie.length()};
}

}  // namespace

Dictionary::Dictionary(std::span<const UserWord> user_words) {
  auto words = std::make_unique<Words>();
  UErrorCode error = U_ZERO_ERROR;
  words->data.reset(udata_open(U_ICUDATA_NAME "-brkitr", "dict", "cjdict", &error));
  if (U_SUCCESS(error) && words->data)
    if (const char16_t* trie = trie_in(words->data.get())) words->tries.emplace_back(trie);
  words->has_icu = !words->tries.empty();
  std::vector<UserWord> sorted(user_words.begin(), user_words.end());
  std::erase_if(sorted, [](const UserWord& word) { return word.text.empty() || word.text.size() > kMaxWordChars; });
  std::sort(sorted.begin(), sorted.end(), [](const UserWord& a, const UserWord& b) {
    return a.text != b.text ? a.text < b.text : a.weight > b.weight;
  });
  const auto same = [](const UserWord& a, const UserWord& b) { return a.text == b.text; };
  sorted.erase(std::unique(sorted.begin(), sorted.end(), same), sorted.end());
  std::vector<UserWord> phrases;
  for (UserWord& word : sorted)
    if (!is_of_syllables(word.text)) phrases.push_back(std::move(word));
  std::erase_if(sorted, [](const UserWord& word) { return !is_of_syllables(word.text) || word.text.empty(); });
  words->user = make_trie(sorted);
  words->phrases = make_trie(phrases);
  if (!words->user.empty()) words->tries.emplace_back(words->user.data());
  if (!words->phrases.empty()) words->phrase_tries.emplace_back(words->phrases.data());
  for (UserWord& word : sorted) words->user_words.push_back(std::move(word.text));
  words_ = std::move(words);
}

Dictionary::~Dictionary() = default;
Dictionary::Dictionary(Dictionary&&) noexcept = default;

bool Dictionary::has_words() const { return !words_->tries.empty(); }
bool Dictionary::has_user_words() const { return !words_->user_words.empty(); }
bool Dictionary::has_phrases() const { return !words_->phrase_tries.empty(); }

bool Dictionary::is_user_word(std::u32string_view word) const {
  return std::binary_search(words_->user_words.begin(), words_->user_words.end(), word);
}

void Dictionary::phrases_at(std::span<const char32_t> text, size_t from, std::vector<uint32_t>& ends) const {
  ends.clear();
  for (const WordTrie& trie : words_->phrase_tries)
    trie.words_at(text, from, [&](size_t to, uint32_t) { ends.push_back(static_cast<uint32_t>(to)); });
}

void Dictionary::cut(std::span<const char32_t> run, std::vector<uint32_t>& ends) const { words_->cut(words_->tries, run, ends); }

void Dictionary::cut_plainly(std::span<const char32_t> run, std::vector<uint32_t>& ends) const {
  words_->cut(std::span(words_->tries).first(words_->has_icu ? 1 : 0), run, ends);
}

void Dictionary::Words::cut(std::span<const WordTrie> by, std::span<const char32_t> run, std::vector<uint32_t>& ends) const {
  ends.clear();
  struct Best {
    uint32_t cost = UINT32_MAX;
    uint32_t from = 0;
  };
  std::vector<Best> best(run.size() + 1);  // of all ways to cut what stands before
  best[0].cost = 0;
  const auto offer = [&](size_t from, size_t to, uint32_t cost) {
    if (best[from].cost + cost < best[to].cost) best[to] = {best[from].cost + cost, static_cast<uint32_t>(from)};
  };
  for (size_t from = 0; from < run.size(); ++from) {
    offer(from, from + 1, kUnknownCost);
    for (const WordTrie& trie : by)
      trie.words_at(run, from, [&](size_t to, uint32_t cost) { offer(from, to, cost); });
  }
  for (size_t end = run.size(); end > 0; end = best[end].from) ends.push_back(static_cast<uint32_t>(end));
  std::reverse(ends.begin(), ends.end());
}

}  // namespace wenqu::retrieval
