// Walks everything a commit holds, to find what checksums cannot tell: that it makes sense.
#pragma once

#include "base/cancel.h"
#include "base/status.h"
#include "retrieval/index/snapshot.h"

namespace wenqu::retrieval {

// Reads every document, passage, term and posting. Errors: corrupt, naming the document or segment that
// does not fit; cancelled; out_of_memory.
Status walk_commit(const Snapshot& snapshot, const CancelToken& cancel);

}  // namespace wenqu::retrieval
