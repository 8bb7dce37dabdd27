// What the folder of an index may hold: from what a writer begins, and what of it is garbage.
//
// Thread safety: free functions, for whoever holds the write lock (but refuse_other_folders(), which comes before it).
#pragma once

#include "base/status.h"
#include "retrieval/store/directory.h"
#include "retrieval/store/manifest.h"

namespace wenqu::retrieval {

// Whatever else a folder is, an index must not be mixed into it. Another process may just be beginning one: it makes the
// lock first, so whoever finds something there finds that too. Errors: invalid_argument, io_error.
Status refuse_other_folders(const IndexPaths& paths);

// A new index starts with the manifest of commit 0, which names no file. So files without a manifest are never taken for
// those of an index that is just beginning, and swept away. Errors: corrupt (there are such), io_error.
Status begin_index(const IndexPaths& paths);

// Removes what neither of the last two commits names nor the writer has made since. `committed`: null for none;
// `keeps_vectors`: the writer keeps some. What fails is left to the next time.
void collect_garbage(const IndexPaths& paths, const Manifest* committed, bool keeps_vectors, WriterDirectory& directory);

}  // namespace wenqu::retrieval
