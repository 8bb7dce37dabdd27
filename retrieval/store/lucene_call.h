// The border to Lucene++: no exception of its crosses it, and its wide strings stay behind it.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "base/status.h"

namespace wenqu::retrieval {

// The exception being handled as a Status. REQUIRES: called inside a catch block.
Status status_of_current_exception(std::string_view doing);

// Runs `body`, which calls Lucene++ and returns nothing; `doing` completes "failed while ...".
template <typename Body>
Status call_lucene(std::string_view doing, Body&& body) {
  try {
    std::forward<Body>(body)();
    return {};
  } catch (...) {
    return status_of_current_exception(doing);
  }
}

// Runs Lucene++ once on a tiny index in memory: 3.0.8 initialises its function-local statics
// without locks, so the first use must be over before threads meet.
void warm_up_lucene();

// UTF-8 to the wide strings of Lucene++ (UTF-32 on Linux) and back.
std::wstring to_wide(std::string_view utf8);
std::string from_wide(std::wstring_view wide);

// A document id as a term: each byte becomes one character, because Lucene++ reserves U+FFFF.
std::wstring id_to_wide(std::string_view id);
std::string id_from_wide(std::wstring_view term);

}  // namespace wenqu::retrieval
