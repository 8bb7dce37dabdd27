#include "retrieval/documents/guess_encoding.h"

#include <algorithm>
#include <array>
#include <memory>

#include <unicode/uchar.h>
#include <unicode/ucnv.h>
#include <unicode/ucsdet.h>

#include "base/utf8.h"

namespace wenqu::retrieval {
namespace {

constexpr size_t kSampleBytes = 32 << 10;

struct CloseConverter {
  void operator()(UConverter* converter) const { ucnv_close(converter); }
};
using Converter = std::unique_ptr<UConverter, CloseConverter>;

struct CloseDetector {
  void operator()(UCharsetDetector* detector) const { ucsdet_close(detector); }
};

// The commonest characters of Chinese texts in both scripts, in code point order: about six in ten of any text, but
// hardly any of what bytes read in the wrong encoding give.
constexpr std::u32string_view kCommon =
    U"一万三上下不与且世业东两个中为主么义之也书了争事二于五些交产人什今从他代以们件任会传但位住体何作你使來便"
    U"保信個們候做傳像儿先光克入全兩公共关其内再军决几出分切则別利别到制前力加务动動務化北区區十南即却原去又及"
    U"反发取受变口只可司各合同名后向听告员命和品員問四回因国國在地场基報場声处外多大天太头女她好如子学學它安完"
    U"定实家實对导将將對導小少尔就展山工己已市师带師常平年并幾应度建开式张張強强当形很後得從德心必思性总情想意"
    U"感應成我或战戰所手才打把报拉指据接提據放政教数數文斯新方於无日时明是時更書最會月有望期本术机权条来東果样"
    U"格條業樣機權次正此死比民气氣水求決沒没治法活海清点為無然爭爾物特王现理生產用由电界發白的目直相看真眼着知"
    U"确確社神种科程種空立第等管类系結統經總经结给统美義老者而聽能自至與色萬著處行術表被裡西要見規覺觀见观规觉"
    U"解計記設許話該認說論識變讓计认让记许论设识话该说象資资走起路身軍边达过运还这进這通進運過道達還邊那部都里"
    U"重量金長长門開間门问间队院隊难難電非面領頭題類领题馬马體高麼";

// What share of the characters beyond ASCII is what texts are made of, less what no text holds.
double plausibility(std::string_view text, bool wide) {
  double beyond_ascii = 0, common = 0, wrong = 0, ascii = 0;
  for (size_t at = 0; at < text.size();) {
    const char32_t c = utf8_next(text, at);
    if (c < 0x80) {
      ++ascii;
      if (c < 0x20 && c != '\n' && c != '\r' && c != '\t' && c != '\f') ++wrong;
      continue;
    }
    ++beyond_ascii;
    if (std::binary_search(kCommon.begin(), kCommon.end(), c)) ++common;
    // Chinese punctuation: 、。〈〉《》「」『』 and the full-width forms of , ! ? : ; ( ).
    else if ((c >= 0x3001 && c <= 0x300F) || c == 0xFF0C || c == 0xFF01 || c == 0xFF1F || c == 0xFF1A || c == 0xFF1B || c == 0xFF08 || c == 0xFF09) ++common;
    else if (c == kReplacementCharacter || u_charType(static_cast<UChar32>(c)) == U_PRIVATE_USE_CHAR || !u_isdefined(static_cast<UChar32>(c))) ++wrong;
  }
  // Bytes that make ASCII as UTF-16 are that: half of them are zero.
  if (wide && beyond_ascii * 10 < ascii && wrong == 0) return 1;
  if (beyond_ascii + wrong == 0) return 0;
  return (common - 4 * wrong) / (beyond_ascii + wrong);
}

// A sample may cut its last character.
std::string sample_as(std::string_view bytes, const char* charset) {
  std::string text;
  if (!convert_to_utf8(bytes.substr(0, kSampleBytes), charset, text)) return {};
  if (bytes.size() > kSampleBytes && text.ends_with("\uFFFD")) text.resize(text.size() - 3);
  return text;
}

// How many bytes above 0x7F belong to no UTF-8 character, and how many to one.
struct Utf8Count {
  size_t wrong = 0, right = 0;
};
Utf8Count count_utf8(std::string_view bytes) {
  Utf8Count count;
  for (size_t at = 0; at < bytes.size();) {
    const size_t begin = at;
    const char32_t c = utf8_next(bytes, at);
    if (c >= 0x80 && c != kReplacementCharacter) ++count.right;
    if (c == kReplacementCharacter && static_cast<unsigned char>(bytes[begin]) >= 0x80) count.wrong += at - begin;
  }
  return count;
}

std::string detect_with_icu(std::string_view bytes) {
  UErrorCode error = U_ZERO_ERROR;
  const std::unique_ptr<UCharsetDetector, CloseDetector> detector(ucsdet_open(&error));
  if (U_FAILURE(error)) return {};
  const std::string_view sample = bytes.substr(0, kSampleBytes);
  ucsdet_setText(detector.get(), sample.data(), static_cast<int32_t>(sample.size()), &error);
  const UCharsetMatch* match = ucsdet_detect(detector.get(), &error);
  if (U_FAILURE(error) || !match) return {};
  constexpr int32_t kConfident = 40;
  const int32_t confidence = ucsdet_getConfidence(match, &error);
  const char* name = ucsdet_getName(match, &error);
  if (U_FAILURE(error) || confidence < kConfident || !name || std::string_view(name).starts_with("UTF-8")) return {};
  return name;
}

}  // namespace

bool convert_to_utf8(std::string_view bytes, const char* charset, std::string& out) {
  UErrorCode error = U_ZERO_ERROR;
  const Converter from(ucnv_open(charset, &error));
  const Converter to(ucnv_open("UTF-8", &error));
  if (U_FAILURE(error)) return false;
  UChar pivot[1024];
  UChar* pivot_source = pivot;
  UChar* pivot_target = pivot;
  const char* source = bytes.data();
  const char* const source_end = source + bytes.size();
  char buffer[4096];
  for (bool first = true;; first = false) {
    char* target = buffer;
    error = U_ZERO_ERROR;
    ucnv_convertEx(to.get(), from.get(), &target, buffer + sizeof buffer, &source, source_end, pivot,
                   &pivot_source, &pivot_target, pivot + 1024, first, /*flush=*/true, &error);
    out.append(buffer, static_cast<size_t>(target - buffer));
    if (error != U_BUFFER_OVERFLOW_ERROR) return U_SUCCESS(error);
  }
}

std::string guess_encoding(std::string_view bytes) {
  constexpr std::array<const char*, 4> kCandidates = {"gb18030", "Big5", "UTF-16LE", "UTF-16BE"};
  constexpr double kLikely = 0.25;
  constexpr size_t kFewBytes = 4;
  const bool has_zeros = bytes.substr(0, kSampleBytes).find('\0') != std::string_view::npos;
  const Utf8Count utf8 = count_utf8(bytes.substr(0, kSampleBytes));
  // Mostly UTF-8 with some damage, or hardly anything to judge by.
  if (!has_zeros && (utf8.right > utf8.wrong || utf8.wrong < kFewBytes)) return {};
  std::string best;
  double best_share = kLikely;
  for (const char* candidate : kCandidates) {
    const std::string_view name = candidate;
    const bool wide = name.starts_with("UTF-16");
    if (wide ? bytes.size() % 2 != 0 : has_zeros) continue;
    const double share = plausibility(sample_as(bytes, candidate), wide);
    if (share <= best_share) continue;
    best = name;
    best_share = share;
  }
  if (!best.empty() || has_zeros) return best;
  return detect_with_icu(bytes);
}

}  // namespace wenqu::retrieval
