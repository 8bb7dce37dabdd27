// SPDX-License-Identifier: GPL-3.0-or-later
// Shows the events of one answer as lines of a buffer.
//
// Thread safety: WeeChat's main thread only, as everything that calls WeeChat.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace wenqu_weechat {

enum class Style { text, thinking, info };
using PrintLine = std::function<void(Style, const std::string&)>;

class Display {
 public:
  Display(PrintLine print, bool show_thinking) : print_(std::move(print)), show_thinking_(show_thinking) {}

  // One event, as JSON. False when it is no event.
  bool show(std::string_view json);

  // Of the answer, once it has ended so that the next question may go on from it; else empty.
  const std::string& response_id() const { return response_id_; }

  // "[1] title  url", for each passage cited so far.
  const std::vector<std::string>& sources() const { return sources_; }

 private:
  void add(Style style, std::string_view delta);
  void flush(Style style);

  PrintLine print_;
  bool show_thinking_;
  std::string line_;                 // not ended yet
  std::string response_id_;
  std::set<int> cited_;
  std::vector<std::string> sources_;
};

}  // namespace wenqu_weechat
