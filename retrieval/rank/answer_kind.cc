#include "retrieval/rank/answer_kind.h"

#include <algorithm>
#include <iterator>
#include <string_view>

namespace wenqu::retrieval {
namespace {

using Text = std::u32string_view;

// Longer texts are looked at so far; more places say nothing more.
constexpr size_t kMaxChars = 4000;

constexpr Text kWhen[] = {U"何时", U"什么时", U"甚么时", U"哪一年", U"哪年", U"何年", U"哪一天", U"哪天", U"哪个年", U"哪一个年", U"几年", U"哪时", U"哪一时",
                          U"年份", U"什么日期", U"几月", U"几号", U"哪个世纪", U"几世纪", U"哪一世纪", U"哪个时", U"哪一个时", U"哪一月", U"哪个月"};
constexpr Text kWhichYear[] = {U"哪一年", U"哪年", U"何年", U"年份"};
constexpr Text kNoCount[] = {U"几乎", U"几何", U"几内", U"几率"};
constexpr Text kHowMuch[] = {U"多长", U"多高", U"多远", U"多大", U"多重", U"多久", U"多深", U"多宽", U"多快"};

constexpr Text kPeriods[] = {U"世纪", U"年代", U"初年", U"末年", U"时期", U"朝"};
constexpr Text kTimeUnits = U"年月日世";
constexpr Text kChineseDigits = U"零一二三四五六七八九十百千万亿两数";
constexpr Text kMoreOrLess = U"多余几来";
constexpr Text kMeasures = U"米公平吨克亩里";   // what is counted may then stand with any unit
constexpr Text kUnits = U"米公里平尺吨千克英海厘年月天小分人元岁mk";

bool among(char32_t c, Text characters) { return characters.find(c) != Text::npos; }
bool is_digit(char32_t c) { return c >= '0' && c <= '9'; }
bool is_number(char32_t c) { return is_digit(c) || among(c, kChineseDigits); }

template <size_t N>
bool holds(Text text, const Text (&phrases)[N]) {
  return std::any_of(std::begin(phrases), std::end(phrases), [text](Text phrase) { return text.find(phrase) != Text::npos; });
}

// "几架", "多少个国家": what is counted, its measure word first. False when nothing is.
bool find_counted(Text question, std::u32string& noun) {
  for (const Text asking : {Text(U"多少"), Text(U"几")}) {
    const size_t at = question.find(asking);
    if (at == Text::npos) continue;
    const Text rest = question.substr(at);
    if (asking.size() == 1 && ((at > 0 && is_number(question[at - 1])) ||
                               std::any_of(std::begin(kNoCount), std::end(kNoCount), [rest](Text word) { return rest.starts_with(word); })))
      continue;
    noun = rest.substr(asking.size(), 1);
    if (!noun.empty() && among(noun[0], U"个名位")) noun += rest.substr(asking.size() + 1, 1);
    return true;
  }
  return false;
}

class Places {
 public:
  Places(const ExpectedAnswer& expected, Text question, Text text) : expected_(expected), question_(question), text_(text) {}

  std::vector<AnswerPlace> find() {
    if (expected_.kind == AnswerKind::time) find_times();
    else find_numbers();
    return std::move(places_);
  }

 private:
  char32_t at(size_t i) const { return i < text_.size() ? text_[i] : 0; }
  void add(size_t i, bool certain) { places_.push_back({i, certain}); }
  bool asked(size_t begin, size_t end) const { return question_.find(text_.substr(begin, end - begin)) != Text::npos; }

  void find_times() {
    const bool year = !expected_.noun.empty();
    for (size_t i = 0; i < text_.size(); ++i) {
      if (!is_digit(text_[i])) {
        if ((among(text_[i], kChineseDigits) || text_[i] == U'元') && at(i + 1) == U'年' && !asked(i, i + 2)) add(i, true);
        continue;
      }
      size_t end = i;
      while (is_digit(at(end))) ++end;
      size_t unit = end;
      while (at(unit) == ' ') ++unit;
      if (!asked(i, end)) {
        const bool has_unit = at(unit) != 0 && among(at(unit), kTimeUnits);
        const bool looks_like_a_year = end - i == 4 && (text_[i] == '1' || text_[i] == '2');
        if (looks_like_a_year || (has_unit && (!year || at(unit) == U'年'))) add(i, true);
        else if (has_unit) add(i, false);
      }
      i = end;
    }
    if (year) return;
    for (const Text period : kPeriods)
      for (size_t i = text_.find(period); i != Text::npos; i = text_.find(period, i + 1)) add(i, false);
  }

  void find_numbers() {
    const std::u32string& noun = expected_.noun;
    for (size_t i = 0; i < text_.size(); ++i) {
      if (!is_number(text_[i])) continue;
      const size_t begin = i;
      while (is_number(at(i)) || at(i) == ',' || at(i) == '.' || at(i) == ' ') ++i;
      if (asked(begin, i)) continue;
      const char32_t next = at(i + (at(i) != 0 && among(at(i), kMoreOrLess) ? 1 : 0));
      const bool of_noun = next != 0 && noun.find(next) != Text::npos;
      const bool of_unit = next != 0 && (noun.empty() || among(noun[0], kMeasures)) && among(next, kUnits);
      if (of_noun || of_unit) add(begin, true);
      else if (is_digit(text_[begin])) add(begin, false);
    }
  }

  const ExpectedAnswer& expected_;
  Text question_, text_;
  std::vector<AnswerPlace> places_;
};

}  // namespace

std::vector<ExpectedAnswer> expected_answers(const std::u32string& question) {
  std::vector<ExpectedAnswer> expected;
  std::u32string noun;
  if (holds(question, kWhen)) expected.push_back({AnswerKind::time, holds(question, kWhichYear) ? U"年" : U""});
  if (find_counted(question, noun)) expected.push_back({AnswerKind::number, noun});
  else if (holds(question, kHowMuch)) expected.push_back({AnswerKind::number, {}});
  return expected;
}

std::vector<AnswerPlace> find_answers(const ExpectedAnswer& expected, const std::u32string& question, const std::u32string& text) {
  return Places(expected, question, Text(text).substr(0, kMaxChars)).find();
}

}  // namespace wenqu::retrieval
