// Word files (.docx, Office Open XML) to plain text: paragraphs, lists, tables row by row, footnotes and endnotes. What was
// deleted in tracked changes, field codes and hidden alternatives are left out. Pages are marked where the program
// that wrote the file says where it broke them. Thread safety: pure.
#pragma once

#include <string_view>

#include "base/cancel.h"
#include "base/status.h"
#include "retrieval/documents/extracted.h"

namespace wenqu::retrieval {

// Errors: corrupt, unsupported (encrypted), limit_exceeded, out_of_memory, cancelled, deadline_exceeded.
Result<Extracted> extract_docx(std::string_view bytes, const CancelToken& cancel);

}  // namespace wenqu::retrieval
