// What a host gives us to search: one article, video, page, conversation or file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace wenqu::retrieval {

enum class Source {
  official_account,  // 公众号 article
  video,             // 视频号 video, its text being the description and transcript
  web,               // web page
  chat,              // message or conversation
  file,              // file on the user's disk
};

// The names used in JSON, on the command line and in the index.
std::string_view source_name(Source source);
std::optional<Source> parse_source(std::string_view name);

// A half-open range of Unicode code points (never bytes).
struct CharRange {
  uint32_t begin = 0;
  uint32_t end = 0;
  bool operator==(const CharRange&) const = default;
};

// Where a person finds a text in its original.
struct Locator {
  enum class Kind : uint8_t {
    none,      // nothing is known
    page,      // of a PDF or Office file, from 1
    time,      // of a video, in milliseconds from its begin
    section,   // of a book, from 1 in reading order
    row,       // of a table, from 1, the line of names not counted
  };
  Kind kind = Kind::none;
  uint64_t number = 0;
  bool operator==(const Locator&) const = default;
};

// The names used in JSON: "page", "time", "section", "row"; "" for none.
std::string_view locator_name(Locator::Kind kind);
std::optional<Locator::Kind> parse_locator(std::string_view name);
// For a person: "p. 3", "1:02:03", "section 2", "row 7"; empty for none.
std::string describe(const Locator& locator);

// From code point `begin` of a document's text on, up to the next mark, the text stands at `locator`.
struct Mark {
  uint32_t begin = 0;
  Locator locator;
  bool operator==(const Mark&) const = default;
};

// What an index takes of a document's members, in bytes; every hit carries them.
inline constexpr size_t kMaxUrlBytes = 16 << 10;   // the path of any file, too
inline constexpr size_t kMaxAuthorBytes = 1 << 10;
inline constexpr size_t kMaxAttributes = 1'000, kMaxAttributeNameBytes = 512;
inline constexpr size_t kMaxAttributesBytes = 64 << 10;   // of all names and values
inline constexpr size_t kMaxAclEntries = 10'000;

struct Document {
  std::string id;            // unique in the index, never empty; adding it again replaces the old one
  std::string title;
  std::string text;          // valid UTF-8
  std::string url;           // may be empty, as what follows
  Source source = Source::file;
  std::string author;
  std::string published_at;  // ISO 8601 date or date-time
  std::map<std::string, std::string> attributes;  // the host's own, given back with each hit
  std::vector<std::string> acl;  // who may find it, each up to 512 bytes; empty: everybody (see Filter::principals)
  std::vector<Mark> marks;   // in the order of the text; empty where nothing is known
  // Its passages in order, where the host has cut them: none is empty, none overlaps another. Empty: they are cut here.
  std::vector<CharRange> passages;
};

}  // namespace wenqu::retrieval
