// What an index in a cluster was taught lies in a document of its own there, so that all who open it agree.
//
// Thread safety: pure but for what is asked of the cluster.
#pragma once

#include <memory>

#include "base/status.h"
#include "retrieval/analysis/lexicon.h"
#include "retrieval/remote/cluster.h"
#include "retrieval/vocabulary.h"

namespace wenqu::retrieval {

// `earlier` (may be null) is returned itself when it is still what the index was taught. Errors: those of the cluster; corrupt.
Result<std::shared_ptr<const Lexicon>> read_remote_lexicon(const Cluster& cluster, std::shared_ptr<const Lexicon> earlier, const CancelToken& cancel);

// Changes it for all who open the index from now on; words and pinyin only while it has no documents. Errors besides:
// version_mismatch, and those of an unusable vocabulary.
Result<std::shared_ptr<const Lexicon>> teach_remote_index(const Cluster& cluster, std::shared_ptr<const Lexicon> kept, const VocabularyChange& change);

// Of an index whose documents were read with other words.
Status remote_words_mismatch(const Cluster& cluster);

}  // namespace wenqu::retrieval
