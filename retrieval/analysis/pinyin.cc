#include "retrieval/analysis/pinyin.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <iterator>
#include <unordered_set>

namespace wenqu::retrieval {
namespace {

#include "pinyin_table.inc"

constexpr char32_t kFirst = 0x4E00;
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

// Calls found(syllable) for each way to read a character, ICU's first.
template <typename Found>
void each_reading(char32_t c, const Found& found) {
  if (c < kFirst || c >= kFirst + std::size(kReadings)) return;
  const std::string_view first = kSyllables[kReadings[c - kFirst]];
  if (!first.empty()) found(first);
  // By character. Never destroyed, as all tables here are not: a host may exit while searches run.
  static const auto& others = *new const auto([] {
    std::vector<OtherReadings> sorted(std::begin(kOthers), std::end(kOthers));
    std::sort(sorted.begin(), sorted.end(), [](const OtherReadings& a, const OtherReadings& b) { return a.character < b.character; });
    return sorted;
  }());
  const auto other = std::lower_bound(others.begin(), others.end(), c, [](const OtherReadings& a, char32_t b) { return a.character < b; });
  if (other == others.end() || other->character != c) return;
  for (const std::string_view reading : other->readings)
    if (reading != first) found(reading);
}

bool is_syllable(std::string_view text) {
  static const auto& syllables = *new const auto([] {
    std::unordered_set<std::string_view> all(std::begin(kSyllables), std::end(kSyllables));
    for (const OtherReadings& other : kOthers) all.insert(other.readings.begin(), other.readings.end());
    std::erase_if(all, [](std::string_view syllable) { return syllable.find_first_of("aeiou") == syllable.npos; });   // "n"
    return all;
  }());
  return syllables.contains(text);
}

}  // namespace

std::vector<Reading> readings_of(std::u32string_view word) {
  std::vector<Reading> readings(1);
  for (const char32_t c : word) {
    std::vector<std::string_view> ways;
    each_reading(c, [&ways](std::string_view way) { ways.push_back(way); });
    if (ways.empty()) return {};
    const size_t before = readings.size();
    for (size_t way = 1; way < ways.size(); ++way)
      for (size_t i = 0; i < before && readings.size() < kMaxReadings; ++i)
        readings.push_back({readings[i].full + std::string(ways[way]), readings[i].initials + ways[way][0]});
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
      if (is_syllable(letters.substr(from, end - from))) found(end);
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
