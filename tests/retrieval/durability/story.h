// What the gates write: commits of changes drawn from a seed, so that who tells a story and who holds the
// index against it need not talk.
#pragma once

#include <map>
#include <random>
#include <string>
#include <vector>

#include "retrieval/index.h"

namespace wenqu::retrieval {

using State = std::map<std::string, std::string>;  // document id -> text

struct Change {
  std::string id;
  std::string text;  // empty: remove
};
using Commit = std::vector<Change>;

// Additions, replacements and removals of a few documents out of twenty.
std::vector<Commit> make_story(unsigned seed, int commits);

State after(State state, const Commit& commit);
// A writer that merges often, on the thread that commits: what the gates count must not depend on another one.
Result<std::unique_ptr<Index>> open_to_write(const std::string& directory);
// Some commits are made visible first. `taken` (may be null) gets the changes that the writer took, whatever became of the commit.
Status write(Index& index, const Commit& commit, Commit* taken = nullptr);

// What the index holds, every document fetched and found by a word of its own. An index never committed
// holds nothing. Errors: what opening or reading it gives; internal when search and fetch disagree.
Result<State> stored(const std::string& directory);

// Empty when the index holds `acknowledged`, or `attempted` if that is not null; otherwise what is wrong.
// `found` (may be null) gets what it holds.
std::string compare(const std::string& directory, const State& acknowledged, const State* attempted, State* found);

}  // namespace wenqu::retrieval
