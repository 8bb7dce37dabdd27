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

std::string_view locator_name(Locator::Kind kind) {
  switch (kind) {
    case Locator::Kind::none: return "";
    case Locator::Kind::page: return "page";
    case Locator::Kind::time: return "time";
    case Locator::Kind::section: return "section";
    case Locator::Kind::row: return "row";
  }
  return "";
}

std::optional<Locator::Kind> parse_locator(std::string_view name) {
  for (Locator::Kind kind : {Locator::Kind::page, Locator::Kind::time, Locator::Kind::section, Locator::Kind::row})
    if (name == locator_name(kind)) return kind;
  return std::nullopt;
}

std::string describe(const Locator& locator) {
  switch (locator.kind) {
    case Locator::Kind::none: return {};
    case Locator::Kind::page: return "p. " + std::to_string(locator.number);
    case Locator::Kind::section: return "section " + std::to_string(locator.number);
    case Locator::Kind::row: return "row " + std::to_string(locator.number);
    case Locator::Kind::time: break;
  }
  const uint64_t seconds = locator.number / 1000;
  const auto two = [](uint64_t n) { return (n < 10 ? "0" : "") + std::to_string(n); };
  const uint64_t hours = seconds / 3600, minutes = seconds / 60 % 60;
  const std::string rest = ":" + two(seconds % 60);
  return hours ? std::to_string(hours) + ":" + two(minutes) + rest : std::to_string(minutes) + rest;
}

}  // namespace wenqu::retrieval
