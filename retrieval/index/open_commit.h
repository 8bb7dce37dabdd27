// Opens the newest commit of an index, also while a writer is at work.
#pragma once

#include <memory>

#include "base/status.h"
#include "retrieval/index/snapshot.h"
#include "retrieval/store/manifest.h"

namespace wenqu::retrieval {

// `earlier` may be null; it is returned itself when it is still the newest.
// Errors: not_found (never committed), corrupt (saying how to go back to the commit before, if that
// one is whole), version_mismatch, io_error.
Result<std::shared_ptr<const Snapshot>> open_newest_commit(const IndexPaths& paths,
                                                           const std::shared_ptr<const Snapshot>& earlier,
                                                           Analyses analyses = Analyses::this_only);

// Of an index that its owner taught other words, or pinyin or none, and what to do.
Status other_words_mismatch(const std::string& directory);
// Where there is none to be read.
Status no_index(const IndexPaths& paths);

}  // namespace wenqu::retrieval
