#include "retrieval/documents/passages.h"

#include <algorithm>

#include <fmt/format.h>
#include <openssl/evp.h>
#include <unicode/uchar.h>

#include "base/utf8.h"
#include "retrieval/analysis/analyzer.h"

namespace wenqu::retrieval {
namespace {

constexpr size_t kMaxHeadingChars = 40;

// A sentence, or a piece of one that is too long for a passage.
struct Unit {
  CharRange range;
  bool heading = false;          // a short line of its own that ends like no sentence
  bool begins_paragraph = false; // a blank line stands before it
};

bool is_space(char32_t c) { return u_isUWhiteSpace(static_cast<UChar32>(c)); }

class PassageSplitter {
 public:
  PassageSplitter(const Document& document, const PassageOptions& options)
      : document_(document), text_(utf8_to_utf32(document.text)) {
    max_ = std::max<size_t>(options.max_chars, 1);
    target_ = std::min(options.target_chars, max_);
    overlap_ = std::min(options.overlap_chars, max_ - 1);
  }

  std::vector<Passage> run() {
    for (const CharRange& passage : document_.passages) emit(passage);
    if (!passages_.empty()) return std::move(passages_);
    for (CharRange sentence : split_sentences(document_.text)) add_units(sentence);
    for (size_t first = 0, fresh = 0; fresh < units_.size();) {
      const size_t last = last_unit(first, fresh);
      emit({units_[first].range.begin, units_[last].range.end});
      fresh = last + 1;
      if (fresh < units_.size()) first = next_first(first, last);
    }
    return std::move(passages_);
  }

 private:
  void add_units(CharRange sentence) {
    Unit unit{sentence};
    unit.begins_paragraph = blank_line_before(sentence.begin);
    unit.heading = is_heading(sentence, unit.begins_paragraph);
    while (sentence.end - sentence.begin > max_) {
      const uint32_t cut = cut_point(sentence);
      unit.range = {sentence.begin, trimmed_end(sentence.begin, cut)};
      units_.push_back(unit);
      unit.begins_paragraph = unit.heading = false;
      sentence.begin = cut;
      while (sentence.begin < sentence.end && is_space(text_[sentence.begin])) ++sentence.begin;
    }
    unit.range = sentence;
    if (sentence.begin < sentence.end) units_.push_back(unit);
  }

  uint32_t trimmed_end(uint32_t begin, uint32_t end) const {
    while (end > begin && is_space(text_[end - 1])) --end;
    return end;
  }

  // At most max_ characters on: after a space or comma of the last third, else between two
  // characters, never before a combining mark if that can be helped.
  uint32_t cut_point(CharRange sentence) const {
    const auto limit = static_cast<uint32_t>(sentence.begin + max_);
    const auto earliest = static_cast<uint32_t>(sentence.begin + std::max<size_t>(max_ * 2 / 3, 1));
    constexpr std::u32string_view kPauses = U"，、,;：:—";
    for (uint32_t cut = limit; cut > earliest; --cut)
      if (is_space(text_[cut - 1]) || kPauses.find(text_[cut - 1]) != std::u32string_view::npos) return cut;
    for (uint32_t cut = limit; cut > earliest; --cut)
      if (!(U_GET_GC_MASK(static_cast<UChar32>(text_[cut])) & U_GC_M_MASK)) return cut;
    return limit;
  }

  bool blank_line_before(uint32_t begin) const {
    int line_ends = 0;
    for (uint32_t i = begin; i > 0 && is_space(text_[i - 1]) && line_ends < 2; --i)
      line_ends += text_[i - 1] == '\n';
    return line_ends == 2 || begin == 0;
  }

  bool is_heading(CharRange sentence, bool begins_paragraph) const {
    const bool ends_line = sentence.end < text_.size() &&
                           (text_[sentence.end] == '\n' || text_[sentence.end] == '\r');
    if (!ends_line || !begins_paragraph || sentence.end - sentence.begin > kMaxHeadingChars) return false;
    const char32_t last = text_[sentence.end - 1];
    return text_[sentence.begin] == '#' || !u_ispunct(static_cast<UChar32>(last));
  }

  size_t length(size_t first, size_t last) const {
    return units_[last].range.end - units_[first].range.begin;
  }

  // The last unit of the passage that begins with unit `first`; units from `fresh` on are in no
  // passage yet, and one of them at least is taken, so that every passage gets further.
  size_t last_unit(size_t first, size_t fresh) const {
    size_t last = fresh;
    for (; last + 1 < units_.size() && length(first, last + 1) <= max_; ++last) {
      const size_t so_far = length(first, last);
      const Unit& next = units_[last + 1];
      const bool rest_fits = units_.back().range.end - units_[first].range.begin <= max_;
      if (rest_fits) continue;
      if (so_far >= target_) break;
      if (so_far >= target_ / 2 && next.heading) break;
      if (so_far >= target_ * 3 / 4 && next.begins_paragraph) break;
    }
    // A heading belongs to what follows it.
    if (last + 1 < units_.size() && last > fresh && units_[last].heading) --last;
    return last;
  }

  // Where the passage after [first, last] begins: some whole sentences back, if they are short and
  // leave room for the next one.
  size_t next_first(size_t first, size_t last) const {
    size_t next = last + 1;
    if (units_[next].heading) return next;
    while (next - 1 > first && length(next - 1, last) <= overlap_ && length(next - 1, last + 1) <= max_) --next;
    return next;
  }

  void emit(CharRange range) {
    Passage passage;
    passage.document_id = document_.id;
    passage.ordinal = static_cast<uint32_t>(passages_.size());
    passage.range = range;
    passage.text = utf32_to_utf8(std::u32string_view(text_).substr(range.begin, range.end - range.begin));
    passage.hash = passage_hash(passage.text);
    passage.locator = locator_at(range.begin);
    const auto is_before = [](uint32_t at, const Mark& mark) { return at < mark.begin; };
    for (auto mark = std::upper_bound(document_.marks.begin(), document_.marks.end(), range.begin, is_before); mark != document_.marks.end() && mark->begin < range.end; ++mark)
      passage.marks.push_back({mark->begin - range.begin, mark->locator});
    passages_.push_back(std::move(passage));
  }

  Locator locator_at(uint32_t place) const {
    const auto after = std::upper_bound(document_.marks.begin(), document_.marks.end(), place,
                                        [](uint32_t at, const Mark& mark) { return at < mark.begin; });
    return after == document_.marks.begin() ? Locator() : std::prev(after)->locator;
  }

  // The first half of SHA-256 over the version of the analysis and the text.
  static std::string passage_hash(const std::string& text) {
    const std::string hashed = fmt::format("wenqu analysis {}\n{}", kAnalysisVersion, text);
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    if (EVP_Digest(hashed.data(), hashed.size(), digest, &size, EVP_sha256(), nullptr) != 1) return {};
    std::string hex;
    for (unsigned i = 0; i < size / 2; ++i) hex += fmt::format("{:02x}", digest[i]);
    return hex;
  }

  const Document& document_;
  std::u32string text_;
  size_t max_, target_, overlap_;
  std::vector<Unit> units_;
  std::vector<Passage> passages_;
};

}  // namespace

std::vector<Passage> split_passages(const Document& document, const PassageOptions& options) {
  return PassageSplitter(document, options).run();
}

}  // namespace wenqu::retrieval
