// Books (.epub) to plain text, in reading order, each section marked. Books under copy protection are refused.
// Thread safety: pure.
#pragma once

#include <string_view>

#include "base/cancel.h"
#include "base/status.h"
#include "retrieval/documents/extracted.h"

namespace wenqu::retrieval {

// Errors: corrupt, unsupported (encrypted), limit_exceeded, out_of_memory, cancelled, deadline_exceeded.
// Sections that are missing or damaged are left out, unless all are.
Result<Extracted> extract_epub(std::string_view bytes, const CancelToken& cancel);

}  // namespace wenqu::retrieval
