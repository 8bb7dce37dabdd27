// The searchable collection of index.h, kept in an OpenSearch or Elasticsearch cluster: for users whose documents have
// outgrown one machine. Ranking, filters, snippets and copies are the same; different are:
//
//   - Any number of writers and readers share it. The last one to write a document wins.
//   - Changes are sent in batches as they are added, and are found soon after the cluster's own refresh, before commit();
//     what was sent stays, also when commit() fails. commit() sends the rest and returns when all of it is found and safe
//     by the cluster's rules. While a document is replaced, a search may see old and new passages of it.
//   - A failure to send is told by the call during which it happened, which may be that of a later document; that one is not
//     added then. What could not be sent, a batch at most, goes with the next commit(), or when the next batch is sent. Where the
//     cluster goes on refusing a document, its errors name it, and remove() of it lets the others go.
//   - Vectors are part of the documents: an index has them from its first document on, by one model, or never. Whoever
//     writes gives that model; whoever reads may leave it out, and searches by words. Nothing is embedded again later.
//   - It is taught words and pinyin before its first document, synonyms at any time; writers that are open then go on with
//     what they know.
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
// checks; unsupported and version_mismatch, when the index has no vectors, or other ones, or was taught other words.
Result<std::unique_ptr<Index>> open_remote_index(const std::string& url, Index::Mode mode, const IndexOptions& options);

}  // namespace wenqu::retrieval
