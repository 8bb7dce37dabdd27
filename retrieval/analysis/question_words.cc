#include "retrieval/analysis/question_words.h"

#include <algorithm>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "retrieval/analysis/char_class.h"
#include "retrieval/analysis/simplified.h"

namespace wenqu::retrieval {
namespace {

// Removed wherever they stand, unless a longer entry covers the place.
constexpr std::u32string_view kAsking[] = {
    U"什么", U"什麼", U"是什么", U"为什么", U"為什麼", U"什么是", U"叫什么", U"叫做什么", U"有什么",
    U"什么样", U"什么样的", U"什么时候", U"什么时间", U"什么地方", U"什么人", U"什么意思", U"是什么意思",
    U"指的是什么", U"是指什么", U"干什么", U"做什么", U"怎么", U"怎麼", U"怎么样", U"怎样", U"怎么办",
    U"怎么回事", U"如何", U"为何", U"何时", U"何地", U"何处", U"何人", U"何种", U"何故", U"为啥", U"啥",
    U"干嘛", U"谁", U"是谁", U"誰", U"哪", U"哪里", U"哪裡", U"哪儿", U"在哪", U"在哪里", U"在哪儿", U"哪个",
    U"哪個", U"哪一个", U"是哪个", U"哪些", U"有哪些", U"是哪些", U"哪年", U"哪一年", U"哪位", U"是哪位",
    U"哪种", U"哪一种", U"多少", U"有多少", U"是多少", U"多久", U"多大", U"多高", U"多长", U"多远", U"多重",
    U"多深", U"多宽", U"多快", U"几", U"幾", U"几个", U"有几个", U"几点", U"幾點", U"几点钟",
    U"几号", U"几时", U"星期几", U"周几", U"多少钱", U"多少錢", U"几块钱", U"哪天", U"哪一天", U"什麼時候", U"什麼地方", U"是否", U"能否", U"可否", U"是不是",
    U"有没有", U"能不能", U"会不会", U"要不要", U"可不可以", U"需不需要", U"请问", U"請問", U"请问一下",
    U"告诉我", U"请告诉我", U"告诉我们", U"我想知道", U"想知道", U"我想问", U"想问", U"想问一下",
    U"我想了解", U"想了解", U"帮我", U"请帮我", U"请介绍", U"请介绍一下", U"介绍一下", U"请说明",
    U"说明一下", U"请解释", U"解释一下", U"请列出", U"请简述", U"说一下", U"查一下", U"一下", U"你知道",
    U"谢谢", U"可以", U"应该", U"我们", U"你们", U"他们", U"这个", U"那个", U"这些", U"那些", U"一个",
    U"一些", U"的话", U"甚么", U"为甚么", U"甚么样", U"甚么时候", U"甚么地方", U"叫甚么", U"有甚么", U"是甚么",
    U"哪时", U"从哪时", U"哪一", U"哪一国", U"哪国", U"哪一部分", U"哪一人", U"哪一个人", U"哪一方面", U"哪一项", U"哪一部",
    U"哪一家", U"哪一座", U"哪一地", U"哪一天", U"哪一日", U"哪一月", U"哪一世纪", U"哪个国家", U"哪一个国家", U"哪个地方", U"何者",
};

// Kept, where the dictionary does not: words that hold an entry of the list above, or cross the edge of one.
constexpr std::u32string_view kProtected[] = {
    U"几何", U"几率", U"几乎", U"几内亚", U"茶几", U"几维", U"几丁", U"哪吒", U"多伦多", U"许多", U"很多",
    U"最多", U"更多", U"大多", U"众多", U"多重性", U"多重人格", U"一个人", U"一个月", U"一下子", U"酒吧",
    U"网吧", U"书吧", U"茶吧", U"水吧", U"贴吧", U"氧吧", U"目的", U"吗啡", U"几案",
};

// Removed at the end of a run of Chinese only: elsewhere they are parts of words.
constexpr std::u32string_view kFinal[] = {U"吗", U"嗎", U"呢", U"吧", U"啊", U"呀", U"嘛", U"么", U"的", U"了",
                                          U"的吗", U"了吗", U"的呢", U"了呢", U"是", U"有", U"在"};

constexpr std::u32string_view kFunctionCharacters =
    U"的了是在和与與或也都就而及着呢吗嗎吧啊呀嘛么之其这這那我你您他她它们們个個为為被把让對对从從到于於以等很请";

constexpr std::string_view kEnglish[] = {
    "a", "about", "am", "an", "and", "any", "are", "as", "at", "be", "been", "being", "but", "by", "can",
    "could", "did", "do", "does", "for", "from", "had", "has", "have", "he", "her", "here", "him", "his",
    "how", "i", "if", "in", "into", "is", "it", "its", "many", "may", "me", "might", "much", "must", "my",
    "of", "on", "or", "our", "please", "shall", "she", "should", "so", "tell", "than", "that", "the",
    "their", "them", "then", "there", "these", "they", "this", "those", "to", "us", "was", "we", "were",
    "what", "what's", "when", "where", "where's", "whether", "which", "who", "who's", "whom", "whose",
    "why", "will", "with", "would", "you", "your",
};

constexpr size_t kMaxRun = 4096;   // a longer run of syllables is cut into words piece by piece

enum class Rule { ask, keep, ask_at_end };
struct Phrase {
  std::u32string text;  // folded
  Rule rule;
};

// Phrases by their first character, the longest first.
using PhraseTable = std::unordered_map<char32_t, std::vector<Phrase>>;

const PhraseTable& phrases() {
  // Never destroyed, as all tables here are not: a host may exit while searches run.
  static const auto& table = *new const PhraseTable([] {
    PhraseTable made;
    const auto add = [&made](std::u32string_view text, Rule rule) {
      Phrase phrase{std::u32string(text), rule};
      for (char32_t& c : phrase.text) c = simplified(c);
      made[phrase.text[0]].push_back(std::move(phrase));
    };
    for (std::u32string_view text : kAsking) add(text, Rule::ask);
    for (std::u32string_view text : kProtected) add(text, Rule::keep);
    for (std::u32string_view text : kFinal) add(text, Rule::ask_at_end);
    for (auto& [first, list] : made)
      std::stable_sort(list.begin(), list.end(), [](const Phrase& a, const Phrase& b) {
        return a.text.size() > b.text.size();
      });
    return made;
  }());
  return table;
}

// Whether a word may begin before each character, or at the end of the text: where the dictionary cuts, or no syllable stands.
std::vector<bool> word_borders(const std::vector<FoldedChar>& text, const Dictionary& dictionary) {
  std::vector<bool> borders(text.size() + 1, true);
  std::u32string run;
  std::vector<uint32_t> ends;
  for (size_t i = 0; i < text.size();) {
    run.clear();
    for (size_t c = i; c < text.size() && run.size() < kMaxRun && classify(text[c].code_point) == CharClass::syllable; ++c) run += text[c].code_point;
    if (run.size() > 1 && dictionary.has_words()) {
      std::fill_n(borders.begin() + static_cast<ptrdiff_t>(i + 1), run.size() - 1, false);
      dictionary.cut(run, ends);
      for (const uint32_t end : ends) borders[i + end] = true;
    }
    i += std::max<size_t>(run.size(), 1);
  }
  return borders;
}

bool stands_at(const std::vector<FoldedChar>& text, const std::vector<bool>& borders, size_t at, const Phrase& phrase) {
  const size_t end = at + phrase.text.size();
  if (end > text.size()) return false;
  for (size_t i = 0; i < phrase.text.size(); ++i)
    if (text[at + i].code_point != phrase.text[i]) return false;
  if (phrase.rule == Rule::keep) return true;
  if (!borders[at] || !borders[end]) return false;
  return phrase.rule != Rule::ask_at_end || end == text.size() || classify(text[end].code_point) != CharClass::syllable;
}

}  // namespace

std::vector<bool> find_question_phrases(const std::vector<FoldedChar>& text, const Dictionary& dictionary) {
  std::vector<bool> found(text.size(), false);
  const PhraseTable& table = phrases();
  const std::vector<bool> borders = word_borders(text, dictionary);
  for (size_t i = 0; i < text.size();) {
    size_t step = 1;
    if (const auto list = table.find(text[i].code_point); list != table.end()) {
      for (const Phrase& phrase : list->second) {
        if (!stands_at(text, borders, i, phrase)) continue;
        step = phrase.text.size();
        if (phrase.rule != Rule::keep) std::fill_n(found.begin() + static_cast<ptrdiff_t>(i), step, true);
        break;
      }
    }
    i += step;
  }
  return found;
}

bool is_function_character(char32_t c) {
  return kFunctionCharacters.find(c) != std::u32string_view::npos;
}

bool is_english_stop_word(std::string_view word) {
  static const auto& words = *new const std::unordered_set<std::string_view>(std::begin(kEnglish), std::end(kEnglish));
  return words.contains(word);
}

}  // namespace wenqu::retrieval
