// Turns documents and passages into Lucene documents as schema.h lays them out.
//
// Lucene++'s token streams and fields are costly to make, so one set is used again for each passage.
// Thread safety: one thread at a time. Throws what Lucene++ throws.
#pragma once

#include <lucene++/LuceneHeaders.h>
#include <lucene++/DefaultSimilarity.h>

#include <array>
#include <string>
#include <vector>

#include "retrieval/document.h"
#include "retrieval/index/schema.h"
#include "retrieval/passage.h"

namespace wenqu::retrieval {

class TermStream;

class PassageFields {
 public:
  PassageFields();

  Lucene::DocumentPtr record(const Document& document) const;
  // The terms of the document's title, which go to each of its passages.
  void set_title(const std::vector<Term>& terms);
  // Valid until the next call.
  Lucene::DocumentPtr passage(const Document& document, const Passage& passage,
                              const std::vector<Term>& terms);

 private:
  void fill(size_t first_field, const std::vector<Term>& terms);

  std::array<boost::shared_ptr<TermStream>, kTermFields> streams_;
  std::array<Lucene::FieldPtr, kTermFields> fields_;
};

// Stores our code of the field's length in the norm byte, in place of Lucene++'s rounded root.
class LengthSimilarity : public Lucene::DefaultSimilarity {
 public:
  double computeNorm(const Lucene::String& field, const Lucene::FieldInvertStatePtr& state) override;
};

// The code in the norm byte of a passage that lacks the field.
inline constexpr uint8_t kFieldAbsent = 124;

std::wstring kind_of_source(Source source);
Lucene::TermPtr id_term(const std::string& document_id);

}  // namespace wenqu::retrieval
