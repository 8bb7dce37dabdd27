// Decides what to search for next, from what the last search taught.
//
// A question that needs two documents names the first one's subject and asks for the second one's:
// "who teaches the librarian's daughter to row?" The words that lead from one to the other stand in
// the first document beside the question's own words, are rare, and occur elsewhere too: those are
// what the next search asks for, together with the words of the question not answered yet.
//
// Thread safety: none is needed; functions are pure but for the retriever's look-ups.
#pragma once

#include <deque>
#include <string>
#include <unordered_set>
#include <vector>

#include "base/status.h"
#include "retrieval/retriever.h"
#include "sdk/assistant/event.h"
#include "sdk/assistant/support.h"

namespace wenqu::assistant {

// A word or name of a text that may lead on from it.
struct Lead {
  std::string text;
  double score = 0;
  bool is_name = false;   // looks like one
};

// Those that the question (`support`, and `asked_terms` of all that was asked) lacks, that other passages have too, and that
// stand near the question's words; best first. Errors: the retriever's.
Result<std::vector<Lead>> find_leads(const retrieval::Retriever& retriever, const std::string& text, const Support& support,
                                     const std::unordered_set<std::string>& asked_terms, const CancelToken& cancel);

struct FollowUp {
  std::string query;
  std::vector<std::string> leads;   // the words found that the question did not have
  const Evidence* from = nullptr;   // where they stand
};

// Up to `max_queries` follow-up searches, the most promising first; none when nothing leads on.
// `found`: what the searches so far gave, best first. `asked`: queries already made.
Result<std::vector<FollowUp>> plan_follow_ups(const retrieval::Retriever& retriever, const std::string& question,
                                              const std::vector<const Evidence*>& found,
                                              const std::vector<std::string>& asked, size_t max_queries,
                                              const CancelToken& cancel);

}  // namespace wenqu::assistant
