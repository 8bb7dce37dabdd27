// What a question is to be searched with: "and on Saturdays?" asks for nothing by itself, but goes on from the question
// before it. A question that leans on those before it, by its form (a pronoun, a beginning such as "what about", hardly a
// word of its own), takes over the words that they were about, and where it points to somebody or something, the names that
// the answer brought up. One that stands alone is searched as it is, so a change of the subject drags nothing along.
//
// Thread safety: none is needed.
#pragma once

#include <string>

#include "base/cancel.h"
#include "base/status.h"
#include "retrieval/retriever.h"
#include "sdk/assistant/conversation.h"

namespace wenqu::assistant {

struct AskedQuestion {
  std::string text;      // as the user put it
  std::string names;     // of those whom the answer before named, where it points at somebody
  std::string context;   // words of what was before, which it leans on, those names first; empty: it stands alone
  std::string before;    // the question that it leans on
  std::string subject;   // what a next question that leans on this one takes over; empty: its own words

  std::string query() const { return context.empty() ? text : text + " " + context; }
};

// Errors: the retriever's.
Result<AskedQuestion> read_question(const retrieval::Retriever& retriever, const std::string& question, const Conversation& earlier,
                                    const CancelToken& cancel);

}  // namespace wenqu::assistant
