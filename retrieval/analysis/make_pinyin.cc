// Writes how ICU reads each Chinese character, for pinyin.cc: make_pinyin OUTPUT. Runs while wenqu is built, as making
// the table takes ICU a third of a second.
#include <unicode/translit.h>
#include <unicode/unistr.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace {

constexpr char32_t kFirst = 0x4E00, kLast = 0x9FFF;

// ASCII letters, at most as many as a syllable has; what ICU cannot read is something else.
std::string syllable_in(std::string_view text) {
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  const bool is_one = text.size() <= 6 && std::all_of(text.begin(), text.end(), [](char c) { return c >= 'a' && c <= 'z'; });
  return is_one ? std::string(text) : std::string();
}

// A character a line.
std::string transliterated() {
  UErrorCode error = U_ZERO_ERROR;
  const std::unique_ptr<icu::Transliterator> latin(
      icu::Transliterator::createInstance("Han-Latin; Latin-ASCII; Lower", UTRANS_FORWARD, error));
  if (U_FAILURE(error) || !latin) return {};
  icu::UnicodeString lines;
  for (char32_t c = kFirst; c <= kLast; ++c) lines.append(static_cast<UChar32>(c)).append(u'\n');
  latin->transliterate(lines);
  std::string text;
  lines.toUTF8String(text);
  return text;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: make_pinyin OUTPUT\n");
    return 2;
  }
  const std::string text = transliterated();
  std::vector<std::string> readings;
  for (size_t begin = 0, end; (end = text.find('\n', begin)) != text.npos; begin = end + 1)
    readings.push_back(syllable_in(std::string_view(text).substr(begin, end - begin)));
  std::map<std::string, size_t> numbers{{"", 0}};
  for (const std::string& reading : readings) numbers.emplace(reading, 0);
  size_t next = 0;
  for (auto& [syllable, number] : numbers) number = next++;   // 0: none
  std::FILE* out = std::fopen(argv[1], "w");
  if (!out) {
    std::fprintf(stderr, "make_pinyin: cannot write %s\n", argv[1]);
    return 1;
  }
  std::fprintf(out, "constexpr const char* kSyllables[] = {");
  for (const auto& [syllable, number] : numbers) std::fprintf(out, "\"%s\",%s", syllable.c_str(), number % 16 == 15 ? "\n" : " ");
  std::fprintf(out, "};\n// From U+4E00 on.\nconstexpr uint16_t kReadings[] = {");
  size_t read = 0;
  for (size_t i = 0; i < readings.size(); ++i) {
    read += !readings[i].empty();
    std::fprintf(out, "%zu,%s", numbers[readings[i]], i % 24 == 23 ? "\n" : " ");
  }
  std::fprintf(out, "};\n");
  if (std::fclose(out) != 0 || readings.size() != kLast - kFirst + 1 || read < 20'000) {
    std::fprintf(stderr, "make_pinyin: %zu characters read; ICU's transliterators (libicu) are not whole\n", read);
    return 1;
  }
  return 0;
}
