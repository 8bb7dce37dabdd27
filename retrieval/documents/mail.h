// Messages (.eml, RFC 5322 with MIME) to plain text: subject, sender, date, and what a reader reads; of alternatives
// the plain one. Messages inside are read too; attachments are not. Thread safety: pure.
//
// The reader is our own: the kept libraries end the process where memory runs out (GMime, through GLib), or are GPL
// (VMime).
#pragma once

#include <string_view>

#include "base/cancel.h"
#include "base/status.h"
#include "retrieval/documents/extracted.h"

namespace wenqu::retrieval {

// Errors: corrupt (no header), limit_exceeded (nested too deep), cancelled, deadline_exceeded.
Result<Extracted> extract_mail(std::string_view bytes, const CancelToken& cancel);

}  // namespace wenqu::retrieval
