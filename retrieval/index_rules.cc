#include "retrieval/index_rules.h"

#include <algorithm>
#include <utility>

#include "base/utf8.h"
#include "retrieval/index/schema.h"
#include "retrieval/snippet.h"

namespace wenqu::retrieval {
namespace {

constexpr size_t kMostOfTitle = 512;   // code points: a title counts as part of each of its document's passages

// "`url` has 20000 bytes: at most 16384 are allowed".
Status check_size(const char* member, size_t size, const char* unit, size_t most, const Document& document) {
  if (size <= most) return {};
  return Status(StatusCode::limit_exceeded,
                std::string("`") + member + "` has " + std::to_string(size) + " " + unit + ": at most " + std::to_string(most) + " are allowed",
                document.id);
}

}  // namespace

Document clean_document(const Document& document) {
  Document clean;
  clean.id = utf8_sanitize(document.id);
  clean.title = utf8_sanitize(document.title);
  clean.title.resize(utf8_offset(clean.title, kMostOfTitle));
  clean.text = utf8_sanitize(document.text);
  clean.url = utf8_sanitize(document.url);
  clean.source = document.source;
  clean.author = utf8_sanitize(document.author);
  clean.published_at = utf8_sanitize(document.published_at);
  for (const auto& [name, value] : document.attributes)
    clean.attributes[utf8_sanitize(name)] = utf8_sanitize(value);
  for (const std::string& principal : document.acl) clean.acl.push_back(utf8_sanitize(principal));
  clean.passages = document.passages;
  clean.marks = document.marks;
  const auto before = [](const Mark& a, const Mark& b) { return a.begin < b.begin; };
  if (!std::is_sorted(clean.marks.begin(), clean.marks.end(), before))
    std::stable_sort(clean.marks.begin(), clean.marks.end(), before);
  return clean;
}

Status check_id(const std::string& id) {
  if (id.empty()) return Status(StatusCode::invalid_argument, "a document needs an id");
  if (id.size() > kMaxIdBytes)
    return Status(StatusCode::invalid_argument,
                  "the document id is longer than " + std::to_string(kMaxIdBytes) + " bytes", id.substr(0, 64));
  return {};
}

Status check_properties(const Document& document) {
  WENQU_RETURN_IF_ERROR(check_size("url", document.url.size(), "bytes", kMaxUrlBytes, document));
  WENQU_RETURN_IF_ERROR(check_size("author", document.author.size(), "bytes", kMaxAuthorBytes, document));
  WENQU_RETURN_IF_ERROR(check_size("attributes", document.attributes.size(), "entries", kMaxAttributes, document));
  size_t bytes = 0;
  for (const auto& [name, value] : document.attributes) {
    WENQU_RETURN_IF_ERROR(check_size("attributes", name.size(), "bytes in a name", kMaxAttributeNameBytes, document));
    bytes += name.size() + value.size();
  }
  return check_size("attributes", bytes, "bytes", kMaxAttributesBytes, document);
}

Status check_acl(const Document& document) {
  WENQU_RETURN_IF_ERROR(check_size("acl", document.acl.size(), "entries", kMaxAclEntries, document));
  for (const std::string& principal : document.acl)
    if (principal.empty() || principal.size() > kMaxIdBytes)
      return Status(StatusCode::invalid_argument,
                    "an entry of the acl is empty or longer than " + std::to_string(kMaxIdBytes) + " bytes", document.id);
  return {};
}

Status check_passages(const Document& document) {
  if (document.passages.empty()) return {};
  const size_t length = utf8_length(document.text);
  uint32_t before = 0;
  for (const CharRange& passage : document.passages) {
    if (passage.begin < before || passage.begin >= passage.end || passage.end > length)
      return Status(StatusCode::invalid_argument,
                    "a passage is empty, overlaps the one before, or lies outside of the text", document.id);
    before = passage.end;
  }
  return {};
}

Status check_search(const SearchRequest& request) {
  if (request.query.empty()) return Status(StatusCode::invalid_argument, "the query is empty");
  if (request.top < 1 || request.top > kMaxTop)
    return Status(StatusCode::invalid_argument, "top must be between 1 and " + std::to_string(kMaxTop));
  if (request.offset > kMaxTop - request.top)
    return Status(StatusCode::invalid_argument, "offset and top together must be at most " + std::to_string(kMaxTop));
  return check_query_size(request.query);
}

Status check_query_size(std::string_view query) {
  if (query.size() <= kMaxQueryBytes) return {};
  return Status(StatusCode::limit_exceeded, "the query is longer than " + std::to_string(kMaxQueryBytes) + " bytes");
}

size_t candidates_for(size_t wanted, size_t rescored) {
  return rescored == 0 ? wanted : (wanted + rescored - 1) / rescored * rescored;
}

Status check_same_words(const Vocabulary& kept, const VocabularyChange& wanted, const Status& other_words) {
  const Vocabulary other = changed(kept, wanted);
  if (other == kept) return {};
  WENQU_RETURN_IF_ERROR(check_vocabulary(other));
  if (!same_terms(other, kept)) return other_words;
  if (other.synonyms == kept.synonyms) return {};
  return Status(StatusCode::unsupported, "synonyms are kept with the index: give them where it is opened for writing", other_words.where());
}

void name_synonyms(const Synonyms& synonyms, const std::vector<Term>& question, std::vector<WeighedTerm>& terms) {
  for (const Synonyms::Found& found : synonyms.find(question))
    for (WeighedTerm& term : terms)
      if (term.range.begin >= found.range.begin && term.range.end <= found.range.end) term.others = *found.others;
}

void add_snippets(const std::vector<Term>& terms, const Analyzer& analyzer, std::vector<Hit>& hits) {
  for (Hit& hit : hits) {
    Snippet snippet = make_snippet(hit.passage.text, terms, analyzer);
    for (const Mark& mark : hit.passage.marks)
      if (mark.begin <= snippet.place) hit.passage.locator = mark.locator;
    hit.snippet = std::move(snippet.text);
    hit.matches = std::move(snippet.matches);
  }
}

}  // namespace wenqu::retrieval
