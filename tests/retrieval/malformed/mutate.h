// Damages files in the ways that files are damaged, and in those that attackers choose. The same number gives the same
// damage on every machine.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace wenqu::retrieval {

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15u + 0x1234567) {}
  uint64_t next() {   // splitmix64
    uint64_t z = (state_ += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
  }
  // 0 to n - 1. REQUIRES: n > 0
  size_t below(size_t n) { return static_cast<size_t>(next() % n); }

 private:
  uint64_t state_;
};

// Pieces that mean something to some format.
inline const std::vector<std::string>& fragments() {
  using namespace std::string_literals;
  static const std::vector<std::string> pieces = {
      "<", ">", "</", "<!--", "-->", "<![CDATA[", "]]>", "<div>", "<table><tr>", "<b><p>", "<svg>", "<script>", "&#x", "&#1114112;", "&amp;",
      "<!DOCTYPE a [<!ENTITY b \"bb\"><!ENTITY c \"&b;&b;\">]>", "&c;", "<w:p>", "</w:tbl>", "<w:t>", "\"", "'", "\"\"", ",", ";", "\t", "\n", "\r\n", "\r", "\n\n",
      "--b1", "--b2--", "=?utf-8?B?", "?=", "=?", "Content-Type: multipart/mixed; boundary=\"\"\n\n", "charset=", "base64", "=3D", "=\n",
      "-->", "00:00:00,000 --> ", "99999999:99:99.999", "NOTE", "WEBVTT", "{\"", "}", "[[[[[[[[", "\\ud800", "1e999", "-9223372036854775809", "null", "\"marks\":[{}]",
      "PK\3\4", "PK\1\2", "PK\5\6", "PK\6\6", "\xFF\xFF\xFF\xFF", "\0\0\0\0"s, "\xFF\xFF", "\0"s, "\xEF\xBB\xBF", "\xFF\xFE", "\xFE\xFF", "\xC0\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\x80",
      "obj", "endobj", "stream\n", "endstream", "xref", "trailer", "<< /Length 99999999 >>", "/Kids [2 0 R]", "/Count 2147483647", "1 0 R", "/FlateDecode", "/Filter [/ASCIIHexDecode /ASCIIHexDecode /LZWDecode]", "startxref\n-1\n",
      "---\n", "```", "> > > > > > > >", "- - - - - -", "[[[[]]]]", "![](", "****__**", "| | |", "%00", "../../../", "\f", "\x1B[31m", "\u202E", "\u0300\u0301\u0302"};
  return pieces;
}

// Applies one to six damages. `other` is a file of the same format to take pieces from.
inline std::string mutate(std::string bytes, const std::string& other, Random& random) {
  constexpr size_t kMaxBytes = 1 << 20;
  for (size_t left = 1 + random.below(6); left > 0; --left) {
    const size_t at = random.below(bytes.size() + 1);
    const size_t size = std::min(bytes.size() - at, random.below(4) == 0 ? random.below(4096) : random.below(32));
    switch (random.below(11)) {
      case 0: if (at < bytes.size()) bytes[at] = static_cast<char>(bytes[at] ^ (1 << random.below(8))); break;
      case 1: if (at < bytes.size()) bytes[at] = static_cast<char>(random.next()); break;
      case 2: bytes.erase(at, size); break;
      case 3: if (random.below(3) == 0) bytes.resize(at); break;
      case 4: bytes.insert(at, bytes.substr(at, size)); break;
      case 5: bytes.insert(random.below(bytes.size() + 1), bytes.substr(at, size)); break;
      case 6: bytes.insert(at, fragments()[random.below(fragments().size())]); break;
      case 7: {   // the same piece again and again: nesting, bombs
        const std::string& piece = fragments()[random.below(fragments().size())];
        std::string many;
        for (size_t n = size_t{1} << random.below(13); n > 0; --n) many += piece;
        bytes.insert(at, many);
        break;
      }
      case 8: for (size_t i = at; i < at + size; ++i) bytes[i] = static_cast<char>(random.next()); break;
      case 9: {   // another number: longer, negative, zero, huge
        const size_t digit = bytes.find_first_of("0123456789", at);
        if (digit == std::string::npos) break;
        const size_t end = std::min(bytes.find_first_not_of("0123456789", digit), bytes.size());
        constexpr const char* kNumbers[] = {"0", "-1", "1", "2147483647", "4294967296", "9223372036854775807", "99999999999999999999", "65536"};
        bytes.replace(digit, end - digit, kNumbers[random.below(8)]);
        break;
      }
      default:
        if (!other.empty()) bytes.insert(at, other.substr(random.below(other.size()), 1 + random.below(512)));
    }
    if (bytes.size() > kMaxBytes) bytes.resize(kMaxBytes);
  }
  return bytes;
}

}  // namespace wenqu::retrieval
