#include "retrieval/analysis/pinyin.h"

#include <algorithm>
#include <array>
#include <memory>
#include <unordered_set>

#include <unicode/translit.h>
#include <unicode/unistr.h>

#include "base/utf8.h"

namespace wenqu::retrieval {
namespace {

constexpr char32_t kFirst = 0x4E00, kLast = 0x9FFF;
constexpr size_t kMaxReadings = 4;
constexpr size_t kMaxSyllable = 6;   // zhuang

struct OtherReadings {
  char32_t character;
  std::array<const char*, 2> readings;
};
// Common simplified characters that words read in several ways.
constexpr OtherReadings kOthers[] = {
    {U'行', {"xing", "hang"}}, {U'乐', {"le", "yue"}},   {U'长', {"chang", "zhang"}}, {U'重', {"zhong", "chong"}}, {U'都', {"du", "dou"}},
    {U'觉', {"jue", "jiao"}},  {U'还', {"hai", "huan"}}, {U'朝', {"chao", "zhao"}},   {U'传', {"chuan", "zhuan"}}, {U'藏', {"cang", "zang"}},
    {U'参', {"can", "shen"}},  {U'曾', {"ceng", "zeng"}},{U'差', {"cha", "chai"}},    {U'弹', {"dan", "tan"}},     {U'调', {"diao", "tiao"}},
    {U'恶', {"e", "wu"}},      {U'给', {"gei", "ji"}},   {U'降', {"jiang", "xiang"}}, {U'校', {"xiao", "jiao"}},   {U'模', {"mo", "mu"}},
    {U'强', {"qiang", "jiang"}},{U'塞', {"sai", "se"}},  {U'色', {"se", "shai"}},     {U'厦', {"sha", "xia"}},     {U'省', {"sheng", "xing"}},
    {U'盛', {"sheng", "cheng"}},{U'石', {"shi", "dan"}}, {U'宿', {"su", "xiu"}},      {U'提', {"ti", "di"}},       {U'率', {"lu", "shuai"}},
    {U'系', {"xi", "ji"}},     {U'车', {"che", "ju"}},   {U'柏', {"bai", "bo"}},      {U'薄', {"bao", "bo"}},      {U'剥', {"bao", "bo"}},
    {U'奇', {"qi", "ji"}},     {U'单', {"dan", "shan"}}, {U'大', {"da", "dai"}},      {U'地', {"di", "de"}},       {U'露', {"lu", "lou"}},
    {U'落', {"luo", "la"}},    {U'没', {"mei", "mo"}},   {U'屏', {"ping", "bing"}},   {U'仇', {"chou", "qiu"}},    {U'解', {"jie", "xie"}},
    {U'会', {"hui", "kuai"}},  {U'贾', {"jia", "gu"}},   {U'角', {"jiao", "jue"}},    {U'壳', {"ke", "qiao"}},     {U'卡', {"ka", "qia"}},
    {U'六', {"liu", "lu"}},    {U'番', {"fan", "pan"}},  {U'尺', {"chi", "che"}},     {U'着', {"zhe", "zhao"}},    {U'了', {"le", "liao"}},
    {U'什', {"shen", "shi"}},  {U'识', {"shi", "zhi"}},  {U'血', {"xue", "xie"}},     {U'畜', {"chu", "xu"}},      {U'隽', {"juan", "jun"}},
    {U'尉', {"wei", "yu"}},    {U'圈', {"quan", "juan"}}, {U'囤', {"tun", "dun"}},
};

// What ICU gives is ASCII letters, or characters that it cannot read.
bool is_reading(std::string_view text) {
  return !text.empty() && text.size() <= kMaxSyllable && std::all_of(text.begin(), text.end(), [](char c) { return c >= 'a' && c <= 'z'; });
}

class Table {
 public:
  Table() : readings_(kLast - kFirst + 1) {
    read_by_icu();
    for (const OtherReadings& other : kOthers) {
      std::vector<std::string>& all = readings_[other.character - kFirst];
      for (const char* reading : other.readings)
        if (std::find(all.begin(), all.end(), reading) == all.end()) all.emplace_back(reading);
    }
    for (const auto& all : readings_)
      for (const std::string& reading : all)
        if (reading.find_first_of("aeiou") != reading.npos) syllables_.insert(reading);   // no sound such as "n"
  }

  const std::vector<std::string>& of(char32_t c) const {
    static const std::vector<std::string> none;
    return c >= kFirst && c <= kLast ? readings_[c - kFirst] : none;
  }
  bool is_syllable(std::string_view text) const { return syllables_.contains(std::string(text)); }

 private:
  // A character a line; without ICU's data nothing is read.
  void read_by_icu() {
    UErrorCode error = U_ZERO_ERROR;
    const std::unique_ptr<icu::Transliterator> latin(
        icu::Transliterator::createInstance("Han-Latin; Latin-ASCII; Lower", UTRANS_FORWARD, error));
    if (U_FAILURE(error) || !latin) return;
    icu::UnicodeString lines;
    for (char32_t c = kFirst; c <= kLast; ++c) lines.append(static_cast<UChar32>(c)).append(u'\n');
    latin->transliterate(lines);
    std::string text;
    lines.toUTF8String(text);
    std::string_view rest = text;
    for (size_t i = 0; i < readings_.size() && !rest.empty(); ++i) {
      const size_t end = std::min(rest.find('\n'), rest.size());
      std::string_view line = rest.substr(0, end);
      while (!line.empty() && line.back() == ' ') line.remove_suffix(1);
      while (!line.empty() && line.front() == ' ') line.remove_prefix(1);
      if (is_reading(line)) readings_[i].emplace_back(line);
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
  }

  std::vector<std::vector<std::string>> readings_;
  std::unordered_set<std::string> syllables_;
};

const Table& table() {
  static const auto made = std::make_unique<const Table>();
  return *made;
}

}  // namespace

std::vector<Reading> readings_of(std::u32string_view word) {
  std::vector<Reading> readings(1);
  for (const char32_t c : word) {
    const std::vector<std::string>& ways = table().of(c);
    if (ways.empty()) return {};
    const size_t before = readings.size();
    for (size_t way = 1; way < ways.size(); ++way)
      for (size_t i = 0; i < before && readings.size() < kMaxReadings; ++i)
        readings.push_back({readings[i].full + ways[way], readings[i].initials + ways[way][0]});
    for (size_t i = 0; i < before; ++i) readings[i].full += ways[0], readings[i].initials += ways[0][0];
  }
  return word.empty() ? std::vector<Reading>() : readings;
}

std::string typed_pinyin(std::string_view letters) {
  std::string typed(letters);
  std::replace(typed.begin(), typed.end(), 'v', 'u');
  return typed;
}

std::vector<size_t> syllable_ends(std::string_view letters) {
  const size_t size = letters.size();
  std::vector<bool> reached(size + 1, false), leads(size + 1, false);
  reached[0] = leads[size] = true;
  const auto each_syllable = [&](size_t from, const auto& found) {
    for (size_t end = from + 1; end <= std::min(size, from + kMaxSyllable); ++end)
      if (table().is_syllable(letters.substr(from, end - from))) found(end);
  };
  for (size_t from = 0; from < size; ++from)
    if (reached[from]) each_syllable(from, [&](size_t end) { reached[end] = true; });
  for (size_t from = size; from-- > 0;)
    each_syllable(from, [&](size_t end) { leads[from] = leads[from] || leads[end]; });
  std::vector<size_t> ends;
  if (!reached[size] || size == 0) return ends;
  for (size_t end = 1; end <= size; ++end)
    if (reached[end] && leads[end]) ends.push_back(end);
  return ends;
}

}  // namespace wenqu::retrieval
