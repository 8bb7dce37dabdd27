// Watches generated text for strings that end it, and holds back what may be the beginning of one.
//
// Thread safety: one thread at a time.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace wenqu::engine {

class StopText {
 public:
  // Empty strings are passed over.
  explicit StopText(std::vector<std::string> stops);

  // Text that is no part of a stop string, in order. Behind a stop string nothing comes any more.
  std::string push(std::string_view text);
  // What was held back, when nothing more comes.
  std::string finish();

  bool stopped() const { return stopped_; }

 private:
  std::vector<std::string> stops_;
  std::string held_;
  bool stopped_ = false;
};

}  // namespace wenqu::engine
