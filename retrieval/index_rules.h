// What every index asks of documents and searches, wherever it keeps them. Thread safety: pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "retrieval/analysis/analyzer.h"
#include "retrieval/analysis/synonyms.h"
#include "retrieval/document.h"
#include "retrieval/passage.h"
#include "retrieval/retriever.h"
#include "retrieval/vocabulary.h"

namespace wenqu::retrieval {

inline constexpr size_t kMaxTop = 10'000;

// The document with well-formed UTF-8 only, its marks in order, its title not longer than 512 code points.
Document clean_document(const Document& document);

// Errors: invalid_argument.
Status check_id(const std::string& id);
// That what each hit carries is not too large. Errors: limit_exceeded, naming the member.
Status check_properties(const Document& document);
// A principal that the index cannot keep would shut out whom it names, without a word. Errors: invalid_argument,
// limit_exceeded (too many).
Status check_acl(const Document& document);
// That those which the host has cut lie in the text, in order. Errors: invalid_argument.
Status check_passages(const Document& document);

// Errors: invalid_argument (no query, top or offset out of range), limit_exceeded (the query).
Status check_search(const SearchRequest& request);
Status check_query_size(std::string_view query);

// How many of the first stage are looked at again, so that the last of `wanted` is among them: whole
// multiples, so that the pages of one search are cut from the same list.
size_t candidates_for(size_t wanted, size_t rescored);

// Whoever reads an index must mean the words that it has. Errors: `other_words` (or pinyin where there is none, and the
// other way), unsupported (other synonyms), invalid_argument and limit_exceeded (an unusable vocabulary).
Status check_same_words(const Vocabulary& kept, const VocabularyChange& wanted, const Status& other_words);

// Tells of each term what may stand for it. `question`: all terms of the text that they are of.
void name_synonyms(const Synonyms& synonyms, const std::vector<Term>& question, std::vector<WeighedTerm>& terms);

void add_snippets(const std::vector<Term>& terms, const Analyzer& analyzer, std::vector<Hit>& hits);

}  // namespace wenqu::retrieval
