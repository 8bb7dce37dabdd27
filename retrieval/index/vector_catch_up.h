// Brings vectors up to a commit that went without them: an index that had none, or whose last writer had no model.
#pragma once

#include "base/status.h"
#include "retrieval/index/snapshot.h"
#include "retrieval/vectors/vector_writer.h"

namespace wenqu::retrieval {

// Gives the writer what differs. `changed`: whether anything did. Errors: those of VectorWriter::add, corrupt, io_error.
Status catch_up(const Snapshot& snapshot, VectorWriter& vectors, bool& changed);

}  // namespace wenqu::retrieval
