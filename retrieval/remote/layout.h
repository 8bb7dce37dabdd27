// How documents lie in an OpenSearch or Elasticsearch index.
//
// A document is a record (everything of it, found by id) and its passages, each with what a hit shows of its document.
// Passages are searched by terms that our own analysis made of them: each kind of term is a field of words between
// blanks, with the parameters of its ranking as the field's similarity, so that the cluster ranks as we do. Whatever
// else there is is kept and not indexed. All that belongs to a document is routed by its key, hence lies in one shard and
// is written in order.
//
// Thread safety: pure.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "retrieval/analysis/analyzer.h"
#include "retrieval/document.h"
#include "retrieval/index/schema.h"
#include "retrieval/passage.h"
#include "retrieval/ranking_parameters.h"

namespace wenqu::retrieval {

// Raised when what lies in the cluster changes its form.
inline constexpr int kRemoteFormat = 1;

struct RemoteField {
  TermField field;
  const char* name;    // of the terms
  const char* length;  // of their number
};
// The fields that are searched: those that the ranking gives a weight.
inline constexpr std::array<RemoteField, 5> kRemoteFields = {{{TermField::unigram, "u", "lu"},
                                                              {TermField::bigram, "b", "lb"},
                                                              {TermField::word, "w", "lw"},
                                                              {TermField::dictionary_word, "d", "ld"},
                                                              {TermField::title_word, "tw", "ltw"}}};
// null: it is not searched there.
const RemoteField* remote_field(TermField field);

// What an index is created with.
std::string index_definition(const RankingParameters& ranking);

// Of a document; part of the ids of all that belongs to it.
std::string record_key(std::string_view document_id);
std::string passage_key(std::string_view record_key, uint32_t ordinal);
// Of what tells the number of the last commit.
inline constexpr std::string_view kCommitKey = "wenqu-commit";

// An operation of a bulk request: one or two lines of JSON.
struct BulkItem {
  std::string document_id;
  std::string lines;
};

// Appends the record and the passages. `slots`: how many passages of the document there may be from now on or from
// before.
void append_document(const Document& document, const std::vector<Passage>& passages, uint32_t slots,
                     const Analyzer& analyzer, std::vector<BulkItem>& items);
// Removes what lies under a key.
BulkItem removal(const std::string& document_id, const std::string& record_key, const std::string& key);
BulkItem commit_note(uint64_t commit);

}  // namespace wenqu::retrieval
