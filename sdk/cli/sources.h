// Names of source kinds on the command line.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "retrieval/document.h"

namespace wenqu::cli {

inline Result<std::vector<retrieval::Source>> parse_sources(const std::vector<std::string>& names) {
  std::vector<retrieval::Source> sources;
  for (const std::string& name : names) {
    const auto source = retrieval::parse_source(name);
    if (!source)
      return Status(StatusCode::invalid_argument,
                    "'" + name + "' is none of official_account, video, web, chat, file", "--source");
    sources.push_back(*source);
  }
  return sources;
}

}  // namespace wenqu::cli
