// Subtitles (.srt, .vtt) to plain text, one line for each cue, marked with its time. Formatting, positions and notes
// are left out, and so are lines that captions repeat as they roll up. Thread safety: pure.
#pragma once

#include <string_view>

#include "retrieval/documents/extracted.h"

namespace wenqu::retrieval {

// REQUIRES: valid UTF-8. A file without a single time gives no text.
Extracted extract_subtitles(std::string_view text);

}  // namespace wenqu::retrieval
