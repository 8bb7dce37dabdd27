#include "retrieval/index/passage_fields.h"

#include <lucene++/FieldInvertState.h>
#include <lucene++/TermAttribute.h>

#include <algorithm>

#include "retrieval/index/record.h"
#include "retrieval/index/length_code.h"
#include "retrieval/store/lucene_call.h"

namespace wenqu::retrieval {
namespace {

using Lucene::ByteArray;
using Lucene::newLucene;

Lucene::FieldPtr keyword(const wchar_t* name, const std::wstring& value) {
  return newLucene<Lucene::Field>(name, value, Lucene::Field::STORE_NO,
                                  Lucene::Field::INDEX_NOT_ANALYZED_NO_NORMS);
}

Lucene::FieldPtr stored(const wchar_t* name, const std::string& bytes) {
  auto value = ByteArray::newInstance(static_cast<int32_t>(bytes.size()));
  std::copy(bytes.begin(), bytes.end(), value.get());
  return newLucene<Lucene::Field>(name, value, Lucene::Field::STORE_YES);
}

}  // namespace

// Gives Lucene++ a list of terms.
class TermStream : public Lucene::TokenStream {
 public:
  void initialize() override { attribute_ = addAttribute<Lucene::TermAttribute>(); }

  bool incrementToken() override {
    if (next_ >= terms_.size()) return false;
    attribute_->setTermBuffer(terms_[next_++]);
    return true;
  }
  void reset() override { next_ = 0; }

  void clear() {
    terms_.clear();
    next_ = 0;
  }
  void add(std::wstring term) { terms_.push_back(std::move(term)); }
  bool empty() const { return terms_.empty(); }

 private:
  Lucene::TermAttributePtr attribute_;
  std::vector<std::wstring> terms_;
  size_t next_ = 0;
};

PassageFields::PassageFields() {
  for (size_t field = 0; field < kTermFields; ++field) {
    streams_[field] = newLucene<TermStream>();
    const Lucene::TokenStreamPtr stream = streams_[field];
    fields_[field] = newLucene<Lucene::Field>(Lucene::String(kTermFieldNames[field]), stream);
  }
}

Lucene::DocumentPtr PassageFields::record(const Document& document) const {
  auto record = newLucene<Lucene::Document>();
  record->add(keyword(kIdField, id_to_wide(document.id)));
  record->add(keyword(kKindField, kRecordKind));
  record->add(stored(kPropertiesField, encode_properties(document)));
  record->add(stored(kTextField, document.text));
  return record;
}

void PassageFields::fill(size_t first_field, const std::vector<Term>& terms) {
  for (size_t field = first_field; field < first_field + 3; ++field) streams_[field]->clear();
  for (const Term& term : terms) {
    std::wstring wide = index_term(term.text);
    if (!wide.empty()) streams_[first_field + static_cast<size_t>(term.kind)]->add(std::move(wide));
  }
}

void PassageFields::set_title(const std::vector<Term>& terms) {
  fill(static_cast<size_t>(TermField::title_unigram), terms);
}

Lucene::DocumentPtr PassageFields::passage(const Document& document, const Passage& passage,
                                           const std::vector<Term>& terms) {
  fill(static_cast<size_t>(TermField::unigram), terms);
  auto entry = newLucene<Lucene::Document>();
  entry->add(keyword(kIdField, id_to_wide(document.id)));
  entry->add(keyword(kKindField, kind_of_source(document.source)));
  entry->add(stored(kPassageField, encode_passage(passage)));
  for (size_t field = 0; field < kTermFields; ++field)
    if (!streams_[field]->empty()) entry->add(fields_[field]);
  return entry;
}

double LengthSimilarity::computeNorm(const Lucene::String&, const Lucene::FieldInvertStatePtr& state) {
  // Lucene++ encodes what we return as a small float: the one that has our code as its byte.
  return decodeNorm(encode_length(static_cast<uint32_t>(std::max(state->getLength(), 0))));
}

std::wstring kind_of_source(Source source) { return std::to_wstring(static_cast<int>(source)); }

Lucene::TermPtr id_term(const std::string& document_id) {
  return newLucene<Lucene::Term>(Lucene::String(kIdField), id_to_wide(document_id));
}

}  // namespace wenqu::retrieval
