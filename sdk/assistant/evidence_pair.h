// Finds the two passages that answer a question together, where none does alone: they share a rare word
// that the question does not have (the librarian's name, say), and hold the question's words between
// them.
//
// Thread safety: none is needed; the function is pure but for the retriever's look-ups.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "retrieval/retriever.h"
#include "sdk/assistant/event.h"

namespace wenqu::assistant {

// The pair, the better supported passage first, or nothing when one passage holds as much as any two.
Result<std::vector<const Evidence*>> find_evidence_pair(const retrieval::Retriever& retriever, const std::string& question,
                                                        std::span<const Evidence* const> evidence, const CancelToken& cancel);

}  // namespace wenqu::assistant
