// A file's bytes to title, text and marks, by the reader of its type. Thread safety: pure.
#pragma once

#include <string_view>

#include "base/cancel.h"
#include "base/status.h"
#include "retrieval/documents/extracted.h"
#include "retrieval/documents/file_type.h"

namespace wenqu::retrieval {

// `repaired` gets what had to be repaired, for a person. REQUIRES: a type that holds one document and is read in this
// process: text, markdown, html, docx, epub, csv, mail, subtitles. Errors: those of the type's reader.
Result<Extracted> extract(FileType type, std::string_view bytes, const CancelToken& cancel, std::string& repaired);

}  // namespace wenqu::retrieval
