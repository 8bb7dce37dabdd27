// Puts the lines of laid-out pages together again: lines of one paragraph are joined, words divided at a line's end
// too, and what stands at the top or foot of most pages (running titles, page numbers) is left out.
// Thread safety: pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "retrieval/documents/extracted.h"

namespace wenqu::retrieval {

// Text and marks; a page without text has no mark. REQUIRES: valid UTF-8.
Extracted join_pages(const std::vector<std::string_view>& pages);

}  // namespace wenqu::retrieval
