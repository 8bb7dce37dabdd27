// What a host gives us to search: one article, video, page, conversation or file.
#pragma once

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

struct Document {
  std::string id;            // unique in the index, never empty; adding it again replaces the old one
  std::string title;
  std::string text;          // valid UTF-8
  std::string url;           // may be empty
  Source source = Source::file;
  std::string author;        // may be empty
  std::string published_at;  // ISO 8601 date or date-time, may be empty
  std::map<std::string, std::string> attributes;  // the host's own, given back with each hit
  std::vector<std::string> acl;  // who may find it, each up to 512 bytes; empty: everybody (see Filter::principals)
};

}  // namespace wenqu::retrieval
