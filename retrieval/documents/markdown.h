// Markdown (CommonMark) to plain text that keeps headings, paragraphs, list items and code.
// Thread safety: pure.
#pragma once

#include <string_view>

#include "retrieval/documents/extracted.h"

namespace wenqu::retrieval {

// The title is that of the front matter ("---" lines with title, date, author, acl), else the first heading.
// REQUIRES: valid UTF-8.
Extracted extract_markdown(std::string_view markdown);

}  // namespace wenqu::retrieval
