// Makes a large collection out of a small one, for measuring speed (its texts say nothing):
//
//   wenqu_synthetic_corpus PASSAGES SEED CHINESE.jsonl ENGLISH.jsonl > big.jsonl
//
// The recipe: a passage is 2 to 5 sentences drawn evenly from those of the collection, Chinese ones in 85 of 100
// passages, else English ones. Of its words (as ICU finds them; Chinese ones of two characters and more) 60 of 100
// are drawn anew, from all words of the collection in that language by how often they stand there. Sentences of
// more than 75 characters are cut. Each passage is a document of its own, short enough not to be divided. The same
// arguments give the same bytes; passage i does not depend on how many there are.
#include <rapidjson/document.h>
#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>
#include <unicode/brkiter.h>
#include <unicode/unistr.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/utf8.h"
#include "retrieval/documents/passages.h"

namespace {

constexpr uint32_t kEnglishPercent = 15;
constexpr uint32_t kRedrawnPercent = 60;
constexpr int32_t kMaxSentenceChars = 75;

// SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t next() {
    uint64_t z = state_ += 0x9E3779B97F4A7C15;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9;
    z = (z ^ z >> 27) * 0x94D049BB133111EB;
    return z ^ z >> 31;
  }
  uint64_t below(uint64_t limit) { return next() % limit; }

 private:
  uint64_t state_;
};

struct Piece {
  std::string text;
  bool is_word = false;
};
using Sentence = std::vector<Piece>;

class Language {
 public:
  Language(const char* locale, bool chinese) : chinese_(chinese) {
    UErrorCode error = U_ZERO_ERROR;
    words_.reset(icu::BreakIterator::createWordInstance(icu::Locale(locale), error));
    if (U_FAILURE(error)) words_.reset();
  }

  bool add(const std::string& path) {
    std::ifstream file(path);
    if (!file || !words_) return false;
    for (std::string line; std::getline(file, line);) {
      rapidjson::Document document;
      document.Parse(line.c_str());
      if (document.HasParseError() || !document.IsObject() || !document.HasMember("text") || !document["text"].IsString()) return false;
      const std::string text = wenqu::utf8_sanitize(document["text"].GetString());
      for (const wenqu::retrieval::CharRange& range : wenqu::retrieval::split_sentences(text)) {
        const size_t begin = wenqu::utf8_offset(text, range.begin), end = wenqu::utf8_offset(text, range.end);
        add_sentence(icu::UnicodeString::fromUTF8(text.substr(begin, end - begin)));
      }
    }
    uint64_t sum = 0;
    for (const auto& [word, times] : counts_) {
      drawn_.push_back(word);
      ends_.push_back(sum += times);
    }
    return !sentences_.empty() && !drawn_.empty();
  }

  std::string passage(Random& random) const {
    std::string text;
    for (uint64_t left = 2 + random.below(4); left > 0; --left) {
      if (!text.empty() && !chinese_) text += ' ';
      for (const Piece& piece : sentences_[random.below(sentences_.size())])
        text += piece.is_word && random.below(100) < kRedrawnPercent ? draw(random) : piece.text;
    }
    return text;
  }

 private:
  void add_sentence(const icu::UnicodeString& sentence) {
    Sentence pieces;
    int32_t chars = 0;
    words_->setText(sentence);
    for (int32_t begin = words_->first(), end = words_->next(); end != icu::BreakIterator::DONE; begin = end, end = words_->next()) {
      Piece piece;
      const icu::UnicodeString text(sentence, begin, end - begin);
      text.toUTF8String(piece.text);
      const int32_t kind = words_->getRuleStatus();
      piece.is_word = chinese_ ? kind >= UBRK_WORD_IDEO && text.countChar32() >= 2 : kind >= UBRK_WORD_LETTER && kind < UBRK_WORD_LETTER_LIMIT;
      if (piece.is_word) ++counts_[piece.text];
      if (chars += text.countChar32(); chars > kMaxSentenceChars && !pieces.empty()) {
        sentences_.push_back(std::exchange(pieces, {}));
        chars = text.countChar32();
      }
      pieces.push_back(std::move(piece));
    }
    if (!pieces.empty()) sentences_.push_back(std::move(pieces));
  }

  const std::string& draw(Random& random) const {
    const auto place = std::upper_bound(ends_.begin(), ends_.end(), random.below(ends_.back()));
    return drawn_[static_cast<size_t>(place - ends_.begin())];
  }

  bool chinese_;
  std::unique_ptr<icu::BreakIterator> words_;
  std::vector<Sentence> sentences_;
  std::map<std::string, uint64_t> counts_;
  std::vector<std::string> drawn_;
  std::vector<uint64_t> ends_;   // sums of how often they stand
};

bool read_number(const char* text, uint64_t& value) {
  const std::string_view all(text);
  const auto [end, error] = std::from_chars(all.data(), all.data() + all.size(), value);
  return error == std::errc() && end == all.data() + all.size();
}

}  // namespace

int main(int argc, char** argv) {
  uint64_t passages = 0, seed = 0;
  if (argc != 5 || !read_number(argv[1], passages) || !read_number(argv[2], seed)) {
    std::fprintf(stderr, "usage: %s PASSAGES SEED CHINESE.jsonl ENGLISH.jsonl\n", argv[0]);
    return 2;
  }
  Language chinese("zh", true), english("en", false);
  if (!chinese.add(argv[3]) || !english.add(argv[4])) {
    std::fprintf(stderr, "%s: each file needs lines of {\"text\": \"...\"} in its language\n", argv[0]);
    return 1;
  }
  for (uint64_t i = 0; i < passages; ++i) {
    Random random(seed + i * 0x2545F4914F6CDD1D);
    const Language& language = random.below(100) < kEnglishPercent ? english : chinese;
    rapidjson::StringBuffer buffer;
    rapidjson::Writer<rapidjson::StringBuffer> writer(buffer);
    writer.StartObject();
    writer.Key("id");
    writer.String(("s" + std::to_string(i)).c_str());
    writer.Key("text");
    writer.String(language.passage(random).c_str());
    writer.EndObject();
    std::puts(buffer.GetString());
  }
  return std::fflush(stdout) == 0 ? 0 : 1;
}
