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
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "retrieval/analysis/analyzer.h"
#include "retrieval/document.h"
#include "retrieval/index/schema.h"
#include "retrieval/passage.h"
#include "retrieval/ranking_parameters.h"
#include "retrieval/vocabulary.h"

namespace wenqu::retrieval {

// Raised when what lies in the cluster changes its form.
inline constexpr int kRemoteFormat = 2;

struct RemoteField {
  TermField field;
  const char* name;    // of the terms
  const char* length;  // of their number
};
// The fields that are searched: those that the ranking gives a weight.
inline constexpr std::array<RemoteField, 6> kRemoteFields = {{{TermField::unigram, "u", "lu"},
                                                              {TermField::bigram, "b", "lb"},
                                                              {TermField::word, "w", "lw"},
                                                              {TermField::dictionary_word, "d", "ld"},
                                                              {TermField::pinyin, "y", "ly"},
                                                              {TermField::title_word, "tw", "ltw"}}};
// Of the passages' vectors, where the index has some.
inline constexpr const char* kVectorField = "v";
// null: it is not searched there.
const RemoteField* remote_field(TermField field);

// A term as it stands in its field, between blanks: its own are no-break ones, which no other term has.
std::string remote_term(std::string_view term);

// What the vectors of an index are made by.
struct RemoteVectors {
  std::string identity;   // EmbeddingModel::identity; empty: there are none
  uint32_t dimensions = 0;
};

// What an index is created with. The two products declare vectors in forms of their own.
std::string index_definition(const RankingParameters& ranking, const RemoteVectors& vectors, bool is_opensearch);

// Of a document; part of the ids of all that belongs to it.
std::string record_key(std::string_view document_id);
std::string passage_key(std::string_view record_key, uint32_t ordinal);
// Of what tells the number of the last commit.
inline constexpr std::string_view kCommitKey = "wenqu-commit";
// Of what the index was taught.
inline constexpr std::string_view kVocabularyKey = "wenqu-vocabulary";

// An operation of a bulk request: one or two lines of JSON.
struct BulkItem {
  std::string document_id;
  std::string lines;
};

// `slots`: how many passages of the document there may be from now on or from before.
BulkItem record_of(const Document& document, uint32_t slots);
// `vectors`: of each passage; empty: they have none.
void append_passages(const Document& document, const std::vector<Passage>& passages, const Analyzer& analyzer,
                     const std::vector<std::span<const float>>& vectors, std::vector<BulkItem>& items);
// Removes what lies under a key.
BulkItem removal(const std::string& document_id, const std::string& record_key, const std::string& key);
BulkItem commit_note(uint64_t commit);
BulkItem vocabulary_note(const Vocabulary& vocabulary);

}  // namespace wenqu::retrieval
