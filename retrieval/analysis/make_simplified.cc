// Writes the table of traditional Chinese characters and what OpenCC makes of each, for simplified.cc:
// make_simplified OUTPUT. Runs while wenqu is built, so that a host needs no OpenCC and its data, and
// an index never meets another edition of the table than the one it was made with.
#include <opencc/opencc.h>

#include <cstdint>
#include <cstdio>
#include <exception>
#include <string>
#include <utility>

namespace {

std::string utf8_of(char32_t c) {
  std::string out;
  if (c >= 0x10000) {
    out += static_cast<char>(0xF0 | (c >> 18));
    out += static_cast<char>(0x80 | ((c >> 12) & 0x3F));
  } else {
    out += static_cast<char>(0xE0 | (c >> 12));
  }
  out += static_cast<char>(0x80 | ((c >> 6) & 0x3F));
  out += static_cast<char>(0x80 | (c & 0x3F));
  return out;
}

// The only character of `text`, or 0 where it holds more or is none of three or four bytes.
char32_t only_character(const std::string& text) {
  const auto byte = [&](size_t i) { return static_cast<char32_t>(static_cast<unsigned char>(text[i])); };
  if (text.size() == 3) return (byte(0) & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F);
  if (text.size() == 4)
    return (byte(0) & 0x07) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 | (byte(3) & 0x3F);
  return 0;
}

int make(const char* path) {
  // Mainland, Taiwan and Hong Kong differ in their traditional characters: the first that knows one decides.
  opencc::SimpleConverter rules[] = {opencc::SimpleConverter("t2s.json"), opencc::SimpleConverter("tw2s.json"),
                                     opencc::SimpleConverter("hk2s.json")};
  std::FILE* out = std::fopen(path, "w");
  if (!out) {
    std::fprintf(stderr, "make_simplified: cannot write %s\n", path);
    return 1;
  }
  constexpr std::pair<char32_t, char32_t> kIdeographs[] = {{0x3400, 0x9FFF}, {0x20000, 0x323AF}};
  int written = 0;
  for (const auto& [first, last] : kIdeographs)
    for (char32_t c = first; c <= last; ++c)
      for (opencc::SimpleConverter& rule : rules) {
        const char32_t simplified = only_character(rule.Convert(utf8_of(c)));
        if (simplified == 0 || simplified == c) continue;
        std::fprintf(out, "{0x%X, 0x%X},\n", static_cast<unsigned>(c), static_cast<unsigned>(simplified));
        ++written;
        break;
      }
  if (std::fclose(out) != 0 || written < 2000) {
    std::fprintf(stderr, "make_simplified: %d characters written to %s; OpenCC's data is not whole\n", written, path);
    return 1;
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: make_simplified OUTPUT\n");
    return 2;
  }
  try {
    return make(argv[1]);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "make_simplified: %s\n", error.what());
    return 1;
  }
}
