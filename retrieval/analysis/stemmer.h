// English stems after Porter's "english" algorithm, by libstemmer.
//
// Thread safety: one Stemmer is used by one thread at a time; making one is cheap.
#pragma once

#include <memory>
#include <string>

struct sb_stemmer;

namespace wenqu::retrieval {

class Stemmer {
 public:
  // The stem of a folded word of ASCII letters and apostrophes; any other word comes back as it is.
  std::string stem(std::string word);

 private:
  struct Delete {
    void operator()(sb_stemmer* stemmer) const;
  };
  std::unique_ptr<sb_stemmer, Delete> english_;  // made when the first word needs it
};

}  // namespace wenqu::retrieval
