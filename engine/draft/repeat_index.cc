#include "engine/draft/repeat_index.h"

namespace wenqu::engine {

void RepeatIndex::clear() {
  text_.clear();
  states_.assign(1, {0, kNone, 0, kNone});
  edges_.clear();
  table_.assign(64, kNone);
  whole_ = 0;
  repeat_ = {};
}

uint32_t RepeatIndex::add_state(uint32_t length, uint32_t link, uint32_t end) {
  states_.push_back({length, link, end, kNone});
  return static_cast<uint32_t>(states_.size() - 1);
}

uint32_t& RepeatIndex::slot(uint32_t from, int32_t token) {
  uint64_t hash = (uint64_t{from} << 32 | static_cast<uint32_t>(token)) * 0x9E3779B97F4A7C15u;
  hash ^= hash >> 32;
  for (size_t at = hash & (table_.size() - 1);; at = (at + 1) & (table_.size() - 1))
    if (const uint32_t edge = table_[at]; edge == kNone || (edges_[edge].from == from && edges_[edge].token == token)) return table_[at];
}

void RepeatIndex::grow() {
  table_.assign(table_.size() * 2, kNone);
  for (uint32_t edge = 0; edge < edges_.size(); ++edge) slot(edges_[edge].from, edges_[edge].token) = edge;
}

void RepeatIndex::add_edge(uint32_t from, int32_t token, uint32_t to) {
  if ((edges_.size() + 1) * 2 > table_.size()) grow();
  uint32_t& place = slot(from, token);
  edges_.push_back({from, token, to, states_[from].edge});
  place = states_[from].edge = static_cast<uint32_t>(edges_.size() - 1);
}

void RepeatIndex::push(int32_t token) {
  text_.push_back(token);
  const uint32_t length = static_cast<uint32_t>(text_.size());
  const uint32_t now = add_state(length, 0, length);
  uint32_t state = whole_;
  whole_ = now;
  uint32_t known = kNone;   // the edge by which an ending of the text before went on like this already
  for (; state != kNone; state = states_[state].link) {
    if ((known = slot(state, token)) != kNone) break;
    add_edge(state, token, now);
  }
  uint32_t link = 0;
  if (known != kNone) {
    const uint32_t old = link = edges_[known].to;
    if (states_[old].length != states_[state].length + 1) {
      // Its longer strings do not stand here: those that do get a state of their own.
      link = add_state(states_[state].length + 1, states_[old].link, states_[old].end);
      for (uint32_t edge = states_[old].edge; edge != kNone; edge = edges_[edge].next) add_edge(link, edges_[edge].token, edges_[edge].to);
      for (; state != kNone; state = states_[state].link) {
        Edge& edge = edges_[slot(state, token)];
        if (edge.to != old) break;
        edge.to = link;
      }
      states_[old].link = link;
    }
  }
  states_[now].link = link;
  repeat_ = {states_[link].length, states_[link].end};
  states_[link].end = length;
}

}  // namespace wenqu::engine
