#include "retrieval/analysis/dictionary.h"

#include <algorithm>

#include <unicode/ucharstrie.h>
#include <unicode/ucharstriebuilder.h>
#include <unicode/udata.h>
#include <unicode/unistr.h>

namespace wenqu::retrieval {
namespace {

constexpr uint32_t kUnknownCost = 255;  // of a character that is no word: the largest that ICU gives
constexpr uint32_t kUserCost = 1;
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

}  // namespace

struct Dictionary::Words {
  std::unique_ptr<UDataMemory, CloseData> data;
  const char16_t* common = nullptr;  // ICU's
  std::vector<char16_t> user;        // the user's, in the same form; empty: none
};

Dictionary::Dictionary(std::span<const std::u32string> user_words) {
  auto words = std::make_unique<Words>();
  UErrorCode error = U_ZERO_ERROR;
  words->data.reset(udata_open(U_ICUDATA_NAME "-brkitr", "dict", "cjdict", &error));
  if (U_SUCCESS(error) && words->data) words->common = trie_in(words->data.get());
  if (!user_words.empty()) {
    std::vector<std::u32string> sorted(user_words.begin(), user_words.end());
    std::erase_if(sorted, [](const std::u32string& word) { return word.empty() || word.size() > kMaxWordChars; });
    std::sort(sorted.begin(), sorted.end());
    sorted.erase(std::unique(sorted.begin(), sorted.end()), sorted.end());
    error = U_ZERO_ERROR;
    icu::UCharsTrieBuilder builder(error);
    for (const std::u32string& word : sorted)
      builder.add(icu::UnicodeString::fromUTF32(reinterpret_cast<const UChar32*>(word.data()), static_cast<int32_t>(word.size())),
                  static_cast<int32_t>(kUserCost), error);
    icu::UnicodeString trie;
    if (!sorted.empty()) builder.buildUnicodeString(USTRINGTRIE_BUILD_SMALL, trie, error);
    if (U_SUCCESS(error)) words->user.assign(trie.getBuffer(), trie.getBuffer() + trie.length());
  }
  words_ = std::move(words);
}

Dictionary::~Dictionary() = default;
Dictionary::Dictionary(Dictionary&&) noexcept = default;

bool Dictionary::has_words() const { return words_->common || !words_->user.empty(); }

void Dictionary::cut(std::span<const char32_t> run, std::vector<uint32_t>& ends) const {
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
  const auto walk = [&](const char16_t* trie_start, size_t from) {
    icu::UCharsTrie trie(trie_start);
    for (size_t to = from; to < std::min(run.size(), from + kMaxWordChars); ++to) {
      const auto c = static_cast<UChar32>(run[to]);
      const UStringTrieResult result = to == from ? trie.firstForCodePoint(c) : trie.nextForCodePoint(c);
      if (USTRINGTRIE_HAS_VALUE(result)) offer(from, to + 1, static_cast<uint32_t>(std::clamp(trie.getValue(), 0, 255)));
      if (!USTRINGTRIE_HAS_NEXT(result)) break;
    }
  };
  for (size_t from = 0; from < run.size(); ++from) {
    offer(from, from + 1, kUnknownCost);
    if (words_->common) walk(words_->common, from);
    if (!words_->user.empty()) walk(words_->user.data(), from);
  }
  for (size_t end = run.size(); end > 0; end = best[end].from) ends.push_back(static_cast<uint32_t>(end));
  std::reverse(ends.begin(), ends.end());
}

}  // namespace wenqu::retrieval
