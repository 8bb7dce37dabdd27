// How documents lie in Lucene++.
//
// A document is a run of Lucene documents: first its record (everything but the terms), then its
// passages in order. Only whole documents are added and deleted, and only neighbouring segments are
// merged, so a run is never broken: the record of a passage is found by walking back.
// Every Lucene document of a run carries the document's id as a term, which deletes it as a whole.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "retrieval/analysis/analyzer.h"

namespace wenqu::retrieval {

inline constexpr const wchar_t* kIdField = L"id";
// What a Lucene document is: "r" for a record, "0" to "4" for a passage of that Source. A record has further terms of
// this field: what filters ask for (filter_terms.h).
inline constexpr const wchar_t* kKindField = L"k";
inline constexpr const wchar_t* kRecordKind = L"r";
// Stored: a record's properties, its text and its marks apart (search needs only the first), and a passage. With the marks
// lie the passages that the host has cut.
inline constexpr const wchar_t* kPropertiesField = L"m";
inline constexpr const wchar_t* kTextField = L"x";
inline constexpr const wchar_t* kMarksField = L"l";   // absent where the document has neither
inline constexpr const wchar_t* kPassageField = L"p";

// The searched fields: the terms of each kind, of the passage together with its document's title (a
// passage seldom says what it is about: the title does), and the words of the title alone.
enum class TermField : uint8_t { unigram, bigram, word, dictionary_word, pinyin, title_word };
inline constexpr size_t kTermFields = Term::kKinds + 1;
inline constexpr std::array<const wchar_t*, kTermFields> kTermFieldNames = {L"u", L"b", L"w", L"d", L"y", L"tw"};

inline TermField body_field(Term::Kind kind) { return static_cast<TermField>(kind); }
// All that hold terms of the kind, that of the body first.
inline std::span<const TermField> fields_of(Term::Kind kind) {
  static constexpr TermField kByKind[] = {TermField::unigram,    TermField::bigram,          TermField::word,
                                          TermField::title_word, TermField::dictionary_word, TermField::pinyin};
  const auto place = static_cast<size_t>(kind);
  return std::span(kByKind).subspan(kind > Term::Kind::word ? place + 1 : place, kind == Term::Kind::word ? 2 : 1);
}

// The file of a commit that holds the index's vocabulary, where it has one, is called so and a number.
inline constexpr std::string_view kVocabularyPrefix = "words_";

inline constexpr size_t kMaxIdBytes = 512;
inline constexpr size_t kMaxTextBytes = size_t{64} << 20;

// A term as Lucene++ keeps it: cut at a length no real word reaches. Empty for what it cannot keep
// (U+FFFF is its end mark, U+0000 and replacement characters mean nothing).
std::wstring index_term(const std::string& text);
// The same in UTF-8; a part of `text`.
std::string_view index_term_bytes(std::string_view text);

}  // namespace wenqu::retrieval
