// PDF to plain text with its pages marked, by the program pdftotext of poppler-utils where it is installed.
//
// It runs as a process of its own, with limits: PDF is the format whose readers crash, and poppler is GPL, which a
// program may be that ours starts, but not a library that is linked into a host under another licence.
// Thread safety: any number at once.
#pragma once

#include <string>

#include "base/cancel.h"
#include "base/status.h"
#include "retrieval/documents/child_process.h"
#include "retrieval/documents/extracted.h"

namespace wenqu::retrieval {

// `file` is an open descriptor of the PDF. Errors: unsupported (the program is not there), and those of run_child().
Result<Extracted> extract_pdf(int file, const ChildLimits& limits, const CancelToken& cancel);

}  // namespace wenqu::retrieval
