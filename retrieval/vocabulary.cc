#include "retrieval/vocabulary.h"

#include <algorithm>
#include <charconv>
#include <map>

#include <fmt/format.h>

#include "base/utf8.h"
#include "retrieval/analysis/char_class.h"
#include "retrieval/analysis/fold.h"
#include "retrieval/store/file.h"

namespace wenqu::retrieval {
namespace {

constexpr std::string_view kHead = "wenqu-vocabulary 1";

Status invalid(std::string message) { return Status(StatusCode::invalid_argument, std::move(message)); }
Status too_much(std::string message) { return Status(StatusCode::limit_exceeded, std::move(message)); }
Status in_line(const Status& status, size_t line) {
  return Status(status.code(), fmt::format("line {}: {}", line, status.message()));
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r";
  const size_t begin = text.find_first_not_of(kSpace);
  return begin == text.npos ? std::string_view() : text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

bool is_word_character(char32_t c) { return classify(c) != CharClass::other; }

// Of a word or a synonym: something that can be looked for, in a line of text.
Status check_text(std::string_view text, size_t max_chars) {
  if (!utf8_is_valid(text)) return invalid("this is not UTF-8");
  const std::u32string characters = utf8_to_utf32(text);
  if (std::any_of(characters.begin(), characters.end(), [](char32_t c) { return c < 0x20 || c == 0x7F; }))
    return invalid("there is a control character in it");
  if (std::none_of(characters.begin(), characters.end(), is_word_character))
    return invalid("a word needs letters, digits or characters");
  if (characters.size() > max_chars)
    return too_much(fmt::format("it is longer than {} characters: {}", max_chars, text.substr(0, 60)));
  return {};
}

// "云计算 5 n", as other programs have it, would be a word with spaces that no text holds.
bool looks_like_columns(std::string_view text) {
  const size_t space = text.find(' ');
  if (space == text.npos || space + 1 >= text.size()) return false;
  const std::u32string first = utf8_to_utf32(text.substr(0, space));
  return text[space + 1] >= '0' && text[space + 1] <= '9' &&
         std::all_of(first.begin(), first.end(), [](char32_t c) { return classify(c) == CharClass::syllable; });
}

Status check_word(const UserWord& word) {
  WENQU_RETURN_IF_ERROR(check_text(word.text, kMaxUserWordChars));
  if (utf8_length(word.text) < 2) return invalid("a single character is found without being a word: leave it out");
  if (!(word.weight > 0) || word.weight > 1) return invalid("a weight is a number above 0, at most 1");
  return {};
}

Status check_rule(const SynonymRule& rule) {
  if (rule.from.empty() || (rule.to.empty() && rule.from.size() < 2))
    return invalid("synonyms are two words at least, with commas between: `a, b`, or `a => b`");
  if (rule.from.size() + rule.to.size() > kMaxSynonymsOfRule)
    return too_much(fmt::format("a rule has {} words at most", kMaxSynonymsOfRule));
  for (const auto* side : {&rule.from, &rule.to})
    for (const std::string& text : *side) {
      if (text.empty()) return invalid("there is nothing between two commas, or beside one");
      WENQU_RETURN_IF_ERROR(check_text(text, kMaxSynonymChars));
      if (text[0] == '#' || text.find(',') != text.npos || text.find("，") != text.npos || text.find("=>") != text.npos)
        return invalid("a word of a rule has no comma and no => in it, and does not begin with #");
    }
  return {};
}

// Calls take(line) for each line that says something; what it says against one is given its number.
template <typename Take>
Status each_line(std::string_view text, const Take& take) {
  if (text.size() > kMaxVocabularyBytes) return too_much(fmt::format("is larger than {} MiB", kMaxVocabularyBytes >> 20));
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  for (size_t number = 1; !text.empty(); ++number) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = trimmed(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty() || line[0] == '#') continue;
    if (const Status taken = utf8_is_valid(line) ? take(line) : invalid("this is not UTF-8"); !taken) return in_line(taken, number);
  }
  return {};
}

std::vector<std::string> split_words(std::string_view text) {
  std::vector<std::string> words;
  for (size_t begin = 0, place = 0; begin <= text.size(); begin = place) {
    size_t end = text.size();
    for (place = begin; place < text.size();) {
      const size_t at = place;
      const char32_t c = utf8_next(text, place);
      if (c != ',' && c != U'，') continue;
      end = at;
      break;
    }
    words.emplace_back(trimmed(text.substr(begin, end - begin)));
    if (end == text.size()) break;
  }
  return words;
}

bool parse_weight(std::string_view digits, double& weight) {
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), weight);
  return error == std::errc() && end == digits.data() + digits.size();
}

std::u32string folded(std::string_view text) {
  std::u32string out;
  for (const FoldedChar& c : fold(text)) out += c.code_point;
  return out;
}

template <typename Parse>
auto read_and_parse(const std::string& path, const Parse& parse) -> decltype(parse(std::string_view())) {
  WENQU_ASSIGN_OR_RETURN(const std::string text, read_whole_file(path, kMaxVocabularyBytes));
  auto parsed = parse(text);
  if (!parsed) return parsed.status().at(path);
  return parsed;
}

}  // namespace

Result<std::vector<UserWord>> parse_user_words(std::string_view text) {
  std::vector<UserWord> words;
  const auto take = [&](std::string_view line) -> Status {
    const size_t tab = line.find('\t');
    UserWord word{std::string(trimmed(line.substr(0, tab)))};
    if (looks_like_columns(word.text)) return invalid("put a tab, not a space, between a word and its weight, and nothing behind");
    if (tab != line.npos && !parse_weight(trimmed(line.substr(tab)), word.weight))
      return invalid("what stands behind the tab is no weight: a number above 0, at most 1");
    WENQU_RETURN_IF_ERROR(check_word(word));
    if (words.size() == kMaxUserWords) return too_much(fmt::format("there are more than {} words", kMaxUserWords));
    words.push_back(std::move(word));
    return {};
  };
  WENQU_RETURN_IF_ERROR(each_line(text, take));
  return words;
}

Result<std::vector<SynonymRule>> parse_synonyms(std::string_view text) {
  std::vector<SynonymRule> rules;
  const auto take = [&](std::string_view line) -> Status {
    SynonymRule rule;
    const size_t arrow = line.find("=>");
    rule.from = split_words(line.substr(0, arrow));
    if (arrow != line.npos) {
      rule.to = split_words(line.substr(arrow + 2));
      if (line.find("=>", arrow + 2) != line.npos) return invalid("there is more than one => in it");
    }
    WENQU_RETURN_IF_ERROR(check_rule(rule));
    if (rules.size() == kMaxSynonymRules) return too_much(fmt::format("there are more than {} rules", kMaxSynonymRules));
    rules.push_back(std::move(rule));
    return {};
  };
  WENQU_RETURN_IF_ERROR(each_line(text, take));
  return rules;
}

Result<std::vector<UserWord>> read_user_words(const std::string& path) { return read_and_parse(path, parse_user_words); }
Result<std::vector<SynonymRule>> read_synonyms(const std::string& path) { return read_and_parse(path, parse_synonyms); }

Status check_vocabulary(const Vocabulary& vocabulary) {
  if (vocabulary.words.size() > kMaxUserWords) return too_much(fmt::format("there are more than {} words", kMaxUserWords));
  if (vocabulary.synonyms.size() > kMaxSynonymRules) return too_much(fmt::format("there are more than {} rules", kMaxSynonymRules));
  size_t bytes = 0, synonym_bytes = 0;   // in the file of an index
  for (const UserWord& word : vocabulary.words) bytes += word.text.size() + 32;
  for (const SynonymRule& rule : vocabulary.synonyms)
    for (const auto* side : {&rule.from, &rule.to})
      for (const std::string& text : *side) synonym_bytes += text.size() + 2;
  if (bytes > kMaxVocabularyBytes || synonym_bytes > kMaxVocabularyBytes)
    return too_much(fmt::format("words and synonyms are {} MiB each at most", kMaxVocabularyBytes >> 20));
  for (const UserWord& word : vocabulary.words)
    if (const Status status = check_word(word); !status) return status.at(word.text.substr(0, 64));
  for (const SynonymRule& rule : vocabulary.synonyms)
    if (const Status status = check_rule(rule); !status) return status.at(rule.from.empty() ? std::string("synonyms") : rule.from[0].substr(0, 64));
  return {};
}

bool same_terms(const Vocabulary& a, const Vocabulary& b) {
  if (a.pinyin != b.pinyin) return false;
  if (a.words == b.words) return true;
  const auto by_text = [](const std::vector<UserWord>& words) {
    std::map<std::u32string, double> weights;
    for (const UserWord& word : words) {
      double& weight = weights[folded(word.text)];
      weight = std::max(weight, word.weight);
    }
    return weights;
  };
  return by_text(a.words) == by_text(b.words);
}

Vocabulary changed(Vocabulary vocabulary, const VocabularyChange& change) {
  if (change.words) vocabulary.words = *change.words;
  if (change.synonyms) vocabulary.synonyms = *change.synonyms;
  if (change.pinyin) vocabulary.pinyin = *change.pinyin;
  return vocabulary;
}

std::string format_vocabulary(const Vocabulary& vocabulary) {
  std::string text = fmt::format("{}\npinyin {}\n", kHead, vocabulary.pinyin ? 1 : 0);
  for (const UserWord& word : vocabulary.words) text += fmt::format("word {}\t{}\n", word.weight, word.text);
  for (const SynonymRule& rule : vocabulary.synonyms)
    text += fmt::format("synonyms {}{}{}\n", fmt::join(rule.from, ","), rule.to.empty() ? "" : "=>", fmt::join(rule.to, ","));
  return text;
}

Result<Vocabulary> parse_vocabulary(std::string_view text) {
  const Status corrupt(StatusCode::corrupt, "the words of the index are damaged");
  Vocabulary vocabulary;
  std::string synonyms;
  size_t lines = 0;
  for (; !text.empty(); ++lines) {
    const size_t end = text.find('\n');
    if (end == text.npos) return corrupt;
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end + 1);
    if (lines == 0) {
      if (line != kHead) return corrupt;
    } else if (lines == 1) {
      if (line != "pinyin 0" && line != "pinyin 1") return corrupt;
      vocabulary.pinyin = line.back() == '1';
    } else if (line.starts_with("word ")) {
      const size_t tab = line.find('\t');
      UserWord word;
      if (tab == line.npos || !parse_weight(line.substr(5, tab - 5), word.weight)) return corrupt;
      word.text = line.substr(tab + 1);
      vocabulary.words.push_back(std::move(word));
    } else if (line.starts_with("synonyms ")) {
      synonyms += line.substr(9);
      synonyms += '\n';
    } else {
      return corrupt;
    }
  }
  auto rules = parse_synonyms(synonyms);
  if (lines < 2 || !rules) return corrupt;
  vocabulary.synonyms = std::move(*rules);
  if (!check_vocabulary(vocabulary)) return corrupt;
  return vocabulary;
}

}  // namespace wenqu::retrieval
