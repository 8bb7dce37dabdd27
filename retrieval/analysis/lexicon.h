// A vocabulary made ready for use: its words in a dictionary, its synonyms by their terms.
//
// Thread safety: immutable; any number of threads may use one.
#pragma once

#include <memory>

#include "base/status.h"
#include "retrieval/analysis/dictionary.h"
#include "retrieval/analysis/synonyms.h"
#include "retrieval/vocabulary.h"

namespace wenqu::retrieval {

class Lexicon {
 public:
  // Errors: those of check_vocabulary().
  static Result<std::shared_ptr<const Lexicon>> create(Vocabulary vocabulary);
  // That of an index whose owner taught it nothing.
  static const std::shared_ptr<const Lexicon>& plain();

  const Vocabulary& vocabulary() const { return vocabulary_; }
  const Dictionary& dictionary() const { return *dictionary_; }
  const Synonyms& synonyms() const { return synonyms_; }

 private:
  Lexicon(Vocabulary vocabulary, std::shared_ptr<const Dictionary> dictionary);

  const Vocabulary vocabulary_;
  const std::shared_ptr<const Dictionary> dictionary_;   // shared by all without words of their own
  const Synonyms synonyms_;
};

}  // namespace wenqu::retrieval
