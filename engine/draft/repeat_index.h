// Knows where the end of a text has stood in it before: the suffix automaton of the text (Blumer et al. 1985),
// which grows by a token at a time, in constant time on average, and takes at most some hundred bytes a token.
//
// A state stands for the strings that end at the same places; its link leads to the longest ending of them that
// stands in more places. So the link of the whole text's state is the longest end of it that stood before.
// Thread safety: one thread at a time. Throws std::bad_alloc, and is good for nothing but clear() then.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace wenqu::engine {

class RepeatIndex {
 public:
  struct Repeat {
    size_t length = 0;   // of the longest end of the text that also stands earlier in it; the two may overlap
    size_t next = 0;     // the place behind the earlier one: the one met last, of several
  };

  RepeatIndex() { clear(); }

  void push(int32_t token);
  const Repeat& repeat() const { return repeat_; }
  std::span<const int32_t> text() const { return text_; }
  void clear();

 private:
  struct State {
    uint32_t length;     // of its longest string
    uint32_t link;
    uint32_t end;        // a place behind its strings
    uint32_t edge;       // the first of those that lead out; kNone
  };
  struct Edge {
    uint32_t from;
    int32_t token;
    uint32_t to;
    uint32_t next;       // of the same state
  };
  static constexpr uint32_t kNone = UINT32_MAX;

  uint32_t add_state(uint32_t length, uint32_t link, uint32_t end);
  void add_edge(uint32_t from, int32_t token, uint32_t to);
  // Its slot in the table, where kNone stands when there is no such edge.
  uint32_t& slot(uint32_t from, int32_t token);
  void grow();

  std::vector<int32_t> text_;
  std::vector<State> states_;   // the first is the empty string's
  std::vector<Edge> edges_;
  std::vector<uint32_t> table_; // edges by state and token; a power of two, at most half full
  uint32_t whole_ = 0;          // the state of the whole text
  Repeat repeat_;
};

}  // namespace wenqu::engine
