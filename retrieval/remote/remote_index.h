// The searchable collection of index.h, kept in an OpenSearch or Elasticsearch cluster: for users whose documents have
// outgrown one machine. Ranking, filters, snippets and copies are the same; different are:
//
//   - Any number of writers and readers share it. The last one to write a document wins.
//   - Changes are sent in batches as they are added, and are found soon after the cluster's own refresh, before commit();
//     what was sent stays, also when commit() fails. commit() sends the rest and returns when all of it is found and safe
//     by the cluster's rules. While a document is replaced, a search may see old and new passages of it.
//   - A failure to send is told by the call during which it happened, which may be that of a later document.
//   - No vectors: a search that insists on them is `unsupported`. A reranking model works as ever.
//   - A question of very many words is asked with its 900 weightiest terms.
//   - Errors besides those of index.h: io_error and timeout (the cluster cannot be reached, or fails), busy (overloaded).
//
// Thread safety: as of Index. Searches run on the caller's thread, which waits for the cluster.
#pragma once

#include <memory>
#include <string>

#include "base/status.h"
#include "retrieval/index.h"

namespace wenqu::retrieval {

// Reading, the index must exist; writing, it is created where it is absent. Errors: those of Cluster::open() and of its
// checks; unsupported with an embedding model.
Result<std::unique_ptr<Index>> open_remote_index(const std::string& url, Index::Mode mode, const IndexOptions& options);

}  // namespace wenqu::retrieval
