#include "sdk/assistant/asked_question.h"

#include <algorithm>
#include <initializer_list>
#include <iterator>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "base/utf8.h"
#include "retrieval/analysis/analyzer.h"
#include "retrieval/analysis/question_words.h"
#include "sdk/assistant/citation.h"
#include "sdk/assistant/names.h"
#include "sdk/assistant/planner.h"
#include "sdk/assistant/support.h"

namespace wenqu::assistant {
namespace {

using retrieval::CharRange;
using retrieval::WeighedTerm;

constexpr size_t kMostSubjectWords = 10;
constexpr size_t kMostNames = 3;
constexpr size_t kNamingChars = 240;   // of an answer: what comes later is beside the point
// A question that has no more of its own says too little to stand alone.
constexpr size_t kFewHan = 4, kFewWords = 1;
constexpr size_t kShortHan = 8;   // "…呢" goes on from what was before where it is no longer than this

bool is_han(char32_t c) { return c >= 0x3400 && c <= 0x9FFF; }

// How a question leans on what was before it.
struct Leaning {
  bool leans = false;
  bool on_somebody = false;   // names count
};

Leaning operator|(Leaning a, Leaning b) { return {a.leans || b.leans, a.on_somebody || b.on_somebody}; }

bool one_of(std::string_view word, std::initializer_list<std::string_view> words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

// Latin words, in lower case.
std::vector<std::string> latin_words(std::string_view text) {
  std::vector<std::string> words(1);
  for (const char c : text) {
    if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) words.back() += c;
    else if (c >= 'A' && c <= 'Z') words.back() += static_cast<char>(c - 'A' + 'a');
    else if (!words.back().empty()) words.emplace_back();
  }
  if (words.back().empty()) words.pop_back();
  return words;
}

Leaning english_leaning(std::string_view question) {
  const std::vector<std::string> words = latin_words(question);
  Leaning leaning;
  if (words.empty()) return leaning;
  const auto word = [&](size_t i) { return i < words.size() ? std::string_view(words[i]) : std::string_view(); };
  const bool about = one_of(word(0), {"what", "how"}) && word(1) == "about";
  size_t said = 0;   // words that a pronoun behind them may stand for
  if (about || one_of(word(0), {"and", "but", "or", "so", "also", "then", "otherwise"})) leaning.leans = true;
  for (size_t i = 0; i < words.size(); ++i) {
    const std::string_view before = i ? word(i - 1) : std::string_view();
    if (said < 2 && one_of(word(i), {"he", "him", "his", "she", "her", "hers", "they", "them", "their", "theirs"})) leaning = {true, true};
    if (one_of(word(i), {"else", "other", "others", "another", "instead", "same", "too", "ones", "former", "latter"})) leaning.leans = true;
    // "Is it allowed to fish" and "is there a ferry" point nowhere.
    if (said < 2 && word(i) == "it" && !one_of(word(i + 1), {"allowed", "possible", "permitted", "true", "necessary", "worth", "safe", "okay", "ok"})) leaning.leans = true;
    if (word(i) == "there" && !one_of(before, {"is", "are", "was", "were", "will", "be", "been"}) &&
        !one_of(word(i + 1), {"is", "are", "was", "were", "will"}))
      leaning.leans = true;
    // Neither do "the book that I lent" and "this week".
    if (one_of(word(i), {"that", "this", "these", "those"}) &&
        (i == 0 || i + 1 == words.size() ||
         one_of(before, {"of",   "about", "for", "like", "is", "was",  "are", "were", "does", "did",  "do",    "can",   "could", "would", "will",
                         "should", "after", "before", "on", "in", "at", "with", "from", "to",  "by",  "than", "and"})) &&
        !one_of(word(i + 1), {"day", "week", "month", "year", "morning", "afternoon", "evening", "weekend", "spring", "summer", "autumn", "winter"}))
      leaning.leans = true;
    if (said < 2 && word(i) == "its") leaning.leans = true;
    said += !retrieval::is_english_stop_word(word(i));
  }
  return leaning;
}

Leaning chinese_leaning(std::u32string_view question) {
  Leaning leaning;
  const auto at = [&](size_t i) { return i < question.size() ? question[i] : char32_t{0}; };
  const auto among = [](char32_t c, std::u32string_view all) { return c && all.find(c) != all.npos; };
  size_t han = 0;
  bool said = false;   // whom or what a pronoun may stand for
  for (size_t i = 0; i < question.size(); ++i) {
    const char32_t c = question[i], before = i ? question[i - 1] : 0, after = at(i + 1);
    han += is_han(c);
    if (among(c, U"，,、；;") && han >= 3) said = true;   // "谭雨是谁，她画什么"
    if (c == U'她' && !said) leaning = {true, true};
    if (c == U'他' && !said && !among(before, U"其吉利") && !among(after, U"乡鄉国國日人")) leaning = {true, true};
    if (among(c, U"它牠") && !said) leaning.leans = true;
    if (among(c, U"该該") && !among(before, U"应應活本")) leaning.leans = true;
    if (among(c, U"这這") && !among(after, U"周天月年星礼禮次种種么麼里裡边邊儿兒")) leaning.leans = true;
    if (c == U'那' && !among(after, U"曲种種么麼")) leaning.leans = true;
    if (c == U'其' && among(after, U"中他它余餘")) leaning.leans = true;
    if (among(c, U"别別") && after == U'的') leaning.leans = true;
  }
  for (const std::u32string_view word : {U"前者", U"后者", U"後者", U"上述", U"上面", U"刚才", U"剛才"})
    if (question.find(word) != question.npos) leaning.leans = true;
  for (const std::u32string_view word : {U"还有", U"還有", U"另外", U"然后", U"然後", U"而且", U"但是", U"可是", U"所以", U"那么", U"那麼", U"也"})
    if (question.starts_with(word)) leaning.leans = true;
  const size_t last = question.find_last_not_of(U"？?。.！! \t\r\n");
  if (last != question.npos && question[last] == U'呢' && han <= kShortHan) leaning.leans = true;
  return leaning;
}

// The words of a question as they stand in it, those that touch as one: of all, and of those that the collection has.
struct Words {
  std::vector<std::string> all, known;
};

Result<Words> own_words(const retrieval::Retriever& retriever, const std::string& question, const CancelToken& cancel) {
  if (retrieval::Analyzer().only_asks(question)) return Words();
  WENQU_ASSIGN_OR_RETURN(const std::vector<WeighedTerm> terms, retriever.weigh(weighable(question), true, cancel));
  const std::u32string characters = utf8_to_utf32(question);
  const auto words_of = [&](bool known) {
    std::vector<CharRange> ranges;
    for (const WeighedTerm& term : terms)
      if (!term.is_unigram && !only_goes_on(term) && (term.passages > 0 || !known)) ranges.push_back(term.range);
    std::sort(ranges.begin(), ranges.end(), [](CharRange a, CharRange b) { return a.begin < b.begin; });
    std::vector<CharRange> merged;
    for (const CharRange range : ranges) {
      if (!merged.empty() && range.begin < merged.back().end) merged.back().end = std::max(merged.back().end, range.end);
      else merged.push_back(range);
    }
    std::vector<std::string> words;
    for (const CharRange range : merged) words.push_back(utf32_to_utf8(std::u32string_view(characters).substr(range.begin, range.end - range.begin)));
    return words;
  };
  return Words{words_of(false), words_of(true)};
}

bool says_little(const std::vector<std::string>& words) {
  size_t han = 0, others = 0;
  for (const std::string& word : words) {
    const std::u32string characters = utf8_to_utf32(word);
    const auto count = static_cast<size_t>(std::count_if(characters.begin(), characters.end(), is_han));
    han += count;
    others += count == 0;
  }
  return others == 0 ? han <= kFewHan : han == 0 && others <= kFewWords;
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  return text;
}

std::vector<std::string> split(std::string_view text) {
  std::vector<std::string> words;
  while (!text.empty()) {
    const size_t end = std::min(text.find(' '), text.size());
    if (end > 0) words.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return words;
}

// Whether it is one word of the dictionary, or one that is written as a name and is a time.
bool is_one_word(const std::string& text) {
  const std::vector<std::string> latin = latin_words(text);
  if (latin.size() == 1 && one_of(std::string_view(latin[0]).substr(0, 3), {"sun", "mon", "tue", "wed", "thu", "fri", "sat"}) &&
      latin[0].find("day") != std::string::npos)
    return true;
  if (latin.size() == 1 && one_of(latin[0], {"january", "february", "march", "april", "june", "july", "august", "september", "october", "november", "december"}))
    return true;
  const size_t length = utf8_length(text);
  for (const retrieval::Term& term : retrieval::Analyzer().analyze(text))
    if (term.kind == retrieval::Term::Kind::dictionary_word && term.range.end - term.range.begin == length) return true;
  return false;
}

// Names that an answer brought up, the likeliest first.
Result<std::vector<std::string>> names_of(const retrieval::Retriever& retriever, const Turn& turn, const CancelToken& cancel) {
  const std::string asked = turn.question + " " + turn.subject;
  std::string answer = text_without_citations(turn.answer);
  answer.resize(utf8_offset(answer, kNamingChars));
  WENQU_ASSIGN_OR_RETURN(const std::vector<WeighedTerm> terms, retriever.weigh(weighable(asked), true, cancel));
  WENQU_ASSIGN_OR_RETURN(const std::vector<WeighedTerm> all_terms, retriever.weigh(weighable(asked), false, cancel));
  std::unordered_set<std::string> known;
  for (const WeighedTerm& term : all_terms) known.insert(term.text);
  WENQU_ASSIGN_OR_RETURN(const std::vector<Lead> leads,
                         find_leads(retriever, answer, Support(terms), known, cancel));
  std::vector<std::string> names;
  for (const Lead& lead : leads) {
    if (names.size() == kMostNames) break;
    // 周末 begins as a name does, but is a word; 黎白 is the beginning of 黎白术.
    const bool part = std::any_of(names.begin(), names.end(), [&](const std::string& other) { return other.find(lead.text) != other.npos; });
    if (lead.is_name && !part && !is_one_word(lead.text)) names.push_back(lead.text);
  }
  return names;
}

}  // namespace

bool only_goes_on(const WeighedTerm& term) {
  // English as its stems.
  return one_of(term.text, {"还有", "另外", "其他", "其它", "别的", "那么", "然后", "而且", "但是", "可是", "所以", "前者", "后者", "上述", "刚才",
                            "els", "else", "other", "anoth", "another", "instead", "same", "also", "too", "former", "latter"});
}

Result<AskedQuestion> read_question(const retrieval::Retriever& retriever, const std::string& question, const Conversation& earlier,
                                    const CancelToken& cancel) {
  AskedQuestion asked;
  asked.text = question;
  if (earlier.empty()) return asked;   // without a look at the collection, which may be far away
  const Turn& last = *earlier.back();
  WENQU_ASSIGN_OR_RETURN(const Words words, own_words(retriever, question, cancel));
  std::vector<std::string> subject = words.known;
  const Leaning leaning = english_leaning(question) | chinese_leaning(utf8_to_utf32(question));
  asked.says_enough = !says_little(words.all);
  asked.leans = leaning.leans || words.all.empty();   // what has a word of its own may well stand alone
  std::vector<std::string> context;
  if (leaning.on_somebody) {
    WENQU_ASSIGN_OR_RETURN(context, names_of(retriever, last, cancel));
    std::erase_if(context, [&](const std::string& name) { return std::find(subject.begin(), subject.end(), name) != subject.end(); });
    asked.names = joined(context);
  }
  std::vector<std::string> before = split(last.subject);
  if (before.empty()) {
    WENQU_ASSIGN_OR_RETURN(Words of_last, own_words(retriever, last.question, cancel));
    before = std::move(of_last.known);
  }
  context.insert(context.end(), std::make_move_iterator(before.begin()), std::make_move_iterator(before.end()));
  std::vector<std::string> taken;
  for (std::string& word : context)
    if (taken.size() < kMostSubjectWords && std::find(subject.begin(), subject.end(), word) == subject.end()) taken.push_back(std::move(word));
  asked.context = joined(taken);
  if (!taken.empty()) asked.before = last.question;
  // What stands alone begins a subject.
  if (asked.leans) subject.insert(subject.end(), taken.begin(), taken.end());
  if (subject.size() > kMostSubjectWords) subject.resize(kMostSubjectWords);
  asked.subject = joined(subject);
  return asked;
}

}  // namespace wenqu::assistant
