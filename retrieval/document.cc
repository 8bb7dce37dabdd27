#include "retrieval/document.h"

namespace wenqu::retrieval {

std::string_view source_name(Source source) {
  switch (source) {
    case Source::official_account: return "official_account";
    case Source::video: return "video";
    case Source::web: return "web";
    case Source::chat: return "chat";
    case Source::file: return "file";
  }
  return "file";
}

std::optional<Source> parse_source(std::string_view name) {
  for (Source source : {Source::official_account, Source::video, Source::web, Source::chat, Source::file})
    if (name == source_name(source)) return source;
  return std::nullopt;
}

}  // namespace wenqu::retrieval
