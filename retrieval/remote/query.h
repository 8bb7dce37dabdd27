// What is asked of the cluster, as JSON. Thread safety: pure.
#pragma once

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "retrieval/filter.h"
#include "retrieval/remote/layout.h"

namespace wenqu::retrieval {

// A term of a field, and what the cluster's own score of it is multiplied by.
struct RemoteClause {
  TermField field{};
  std::string term;
  double boost = 1;
};

struct PassageQuery {
  std::vector<RemoteClause> clauses;  // passages hold at least one
  std::vector<Source> sources;        // empty: all
  Filter filter;
  size_t size = 10;  // passages wanted
};

// The body of a search for the best passages; ties by document id, then ordinal. Errors: invalid_argument (a time).
Result<std::string> passage_search(const PassageQuery& query);

// The body of a search for the passages whose vectors are nearest to this one; of `among` only sources, filter and size
// count. The two products ask for it in forms of their own. The answer is in no particular order. Errors: as above.
Result<std::string> vector_search(std::span<const float> vector, const PassageQuery& among, bool is_opensearch);

// How many passages hold each term; with `of_all`, how many documents and passages there are, and how long their fields.
std::string statistics_search(const std::vector<std::pair<TermField, std::string>>& terms, bool of_all);

// The texts of a run of passages of each of some documents.
struct RemoteRun {
  std::string document_id;
  uint32_t begin = 0;  // ordinals
  uint32_t end = 0;
};
std::string texts_search(const std::vector<RemoteRun>& runs, size_t size);

// The number of passages that each record tells of.
std::string slots_request(const std::vector<std::string>& record_keys);

}  // namespace wenqu::retrieval
