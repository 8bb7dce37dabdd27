// What a question is to be searched with: "and on Saturdays?" asks for nothing by itself, but goes on from the question
// before it. A question that leans on those before it, by its form (a pronoun, a beginning such as "what about", no
// word of its own), takes over the words that they were about, and where it speaks of somebody, the names that the answer
// brought up. One that stands alone by its form is searched as it is, and then with those words too, as many a question is
// short of something that no form tells; they weigh little, so that a change of the subject drags little along.
//
// Thread safety: none is needed.
#pragma once

#include <string>
#include <vector>

#include "base/cancel.h"
#include "base/status.h"
#include "retrieval/retriever.h"
#include "sdk/assistant/conversation.h"

namespace wenqu::assistant {

struct AskedQuestion {
  std::string text;      // as the user put it
  std::string names;     // of those whom the answer before named, where it speaks of somebody
  std::string context;   // words of what was before, those names first; empty: there was nothing
  std::string before;    // the question that they come from
  std::string subject;   // what a next question that leans on this one takes over; empty: its own words
  bool leans = false;    // does not stand alone
  bool says_enough = true;   // has more than a word or two of its own

  // What it asks for, in one line.
  std::string query() const { return leans ? together() : text; }
  std::string together() const { return context.empty() ? text : text + " " + context; }
  // The searches for it, the best first. What says hardly anything is searched for by itself by who looks at more passages only.
  std::vector<std::string> queries(Mode mode) const {
    if (context.empty()) return {text};
    if (!leans) return {text, together()};
    return says_enough || mode == Mode::deep ? std::vector{together(), text} : std::vector{together()};
  }
};

// Whether a term of a question only says that it goes on: "else", 还有, 另外.
bool only_goes_on(const retrieval::WeighedTerm& term);

// Errors: the retriever's.
Result<AskedQuestion> read_question(const retrieval::Retriever& retriever, const std::string& question, const Conversation& earlier,
                                    const CancelToken& cancel);

}  // namespace wenqu::assistant
