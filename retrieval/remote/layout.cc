#include "retrieval/remote/layout.h"

#include <fmt/format.h>
#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

#include "base/sha256.h"
#include "retrieval/filter.h"
#include "retrieval/index/filter_terms.h"
#include "retrieval/rank/bm25.h"
#include "retrieval/remote/vector_json.h"

namespace wenqu::retrieval {
namespace {

using Writer = rapidjson::Writer<rapidjson::StringBuffer>;

void put(Writer& out, std::string_view text) { out.String(text.data(), static_cast<rapidjson::SizeType>(text.size())); }
void put(Writer& out, const char* name, std::string_view text) {
  out.Key(name);
  put(out, text);
}
void put(Writer& out, const char* name, uint64_t number) {
  out.Key(name);
  out.Uint64(number);
}

void put_type(Writer& out, const char* name, const char* type) {
  out.Key(name);
  out.StartObject();
  put(out, "type", type);
  out.EndObject();
}

std::string similarity_name(const RemoteField& field) { return std::string("wenqu_") + field.name; }

void put_settings(Writer& out, const RankingParameters& ranking, bool has_knn_setting) {
  out.StartObject();
  out.Key("index");
  out.StartObject();
  if (has_knn_setting) out.Key("knn"), out.Bool(true);
  out.Key("analysis");
  out.StartObject();
  out.Key("analyzer");
  out.StartObject();
  out.Key("wenqu_terms");
  out.StartObject();
  put(out, "type", "custom");
  put(out, "tokenizer", "whitespace");
  out.EndObject();
  out.EndObject();
  out.EndObject();
  out.Key("similarity");
  out.StartObject();
  for (const RemoteField& field : kRemoteFields) {
    const Bm25Parameters& parameters = bm25_parameters(ranking, field.field);
    out.Key(similarity_name(field).c_str());
    out.StartObject();
    put(out, "type", "BM25");
    out.Key("k1"), out.Double(parameters.k1);
    out.Key("b"), out.Double(parameters.b);
    out.EndObject();
  }
  out.EndObject();
  out.EndObject();
  out.EndObject();
}

// Both are compared by their angle, and searched by a graph of neighbours of the cluster's own making. OpenSearch's Lucene
// engine is the one that searches among what a filter leaves.
void put_vector_field(Writer& out, uint32_t dimensions, bool is_opensearch) {
  out.Key(kVectorField);
  out.StartObject();
  if (is_opensearch) {
    put(out, "type", "knn_vector");
    put(out, "dimension", uint64_t{dimensions});
    out.Key("method");
    out.StartObject();
    put(out, "name", "hnsw");
    put(out, "space_type", "cosinesimil");
    put(out, "engine", "lucene");
    out.EndObject();
  } else {
    put(out, "type", "dense_vector");
    put(out, "dims", uint64_t{dimensions});
    out.Key("index"), out.Bool(true);
    put(out, "similarity", "cosine");
  }
  out.EndObject();
}

void put_mappings(Writer& out, const RemoteVectors& vectors, bool is_opensearch) {
  out.StartObject();
  out.Key("dynamic"), out.Bool(false);
  out.Key("_meta");
  out.StartObject();
  put(out, "wenqu_format", kRemoteFormat);
  put(out, "wenqu_analysis", kAnalysisVersion);
  if (!vectors.identity.empty()) {
    put(out, "wenqu_embedding", vectors.identity);
    put(out, "wenqu_dimensions", uint64_t{vectors.dimensions});
  }
  out.EndObject();
  // Terms and vectors can be made again from the text: they need not be kept besides the index.
  out.Key("_source");
  out.StartObject();
  out.Key("excludes");
  out.StartArray();
  for (const RemoteField& field : kRemoteFields) put(out, field.name);
  if (!vectors.identity.empty()) put(out, kVectorField);
  out.EndArray();
  out.EndObject();
  out.Key("properties");
  out.StartObject();
  for (const char* name : {"kind", "document_id", "source", "labels"}) put_type(out, name, "keyword");
  put_type(out, "ordinal", "integer");
  put_type(out, "time", "long");
  for (const RemoteField& field : kRemoteFields) {
    out.Key(field.name);
    out.StartObject();
    put(out, "type", "text");
    put(out, "analyzer", "wenqu_terms");
    put(out, "similarity", similarity_name(field));
    put(out, "index_options", "freqs");
    out.EndObject();
    put_type(out, field.length, "integer");
  }
  if (!vectors.identity.empty()) put_vector_field(out, vectors.dimensions, is_opensearch);
  out.EndObject();
  out.EndObject();
}

// The terms of one passage, by field.
struct PassageTerms {
  std::array<std::string, kRemoteFields.size()> words;
  std::array<uint32_t, kRemoteFields.size()> lengths{};

  void add(TermField field, std::string_view term) {
    for (size_t i = 0; i < kRemoteFields.size(); ++i) {
      if (kRemoteFields[i].field != field || term.empty()) continue;
      if (!words[i].empty()) words[i] += ' ';
      words[i] += remote_term(term);
      ++lengths[i];
    }
  }
  void add_title(const std::vector<Term>& terms) {
    for (const Term& term : terms)
      for (const TermField field : fields_of(term.kind)) add(field, index_term_bytes(term.text));
  }
};

void put_locator(Writer& out, const Locator& locator) {
  out.StartArray();
  put(out, locator_name(locator.kind));
  out.Uint64(locator.number);
  out.EndArray();
}

void put_marks(Writer& out, const std::vector<Mark>& marks) {
  out.Key("marks");
  out.StartArray();
  for (const Mark& mark : marks) {
    out.StartArray();
    out.Uint(mark.begin);
    put_locator(out, mark.locator);
    out.EndArray();
  }
  out.EndArray();
}

// What a hit shows, and what filters ask for.
void put_properties(Writer& out, const Document& document) {
  put(out, "document_id", document.id);
  put(out, "title", document.title);
  put(out, "url", document.url);
  put(out, "source", source_name(document.source));
  put(out, "author", document.author);
  put(out, "published_at", document.published_at);
  // As pairs: clusters take names of members apart at their dots, and refuse some.
  out.Key("attributes");
  out.StartArray();
  for (const auto& [name, value] : document.attributes) {
    out.StartArray();
    put(out, name);
    put(out, value);
    out.EndArray();
  }
  out.EndArray();
}

void put_record(Writer& out, const Document& document, uint32_t slots) {
  out.StartObject();
  put(out, "kind", "record");
  put_properties(out, document);
  put(out, "text", document.text);
  out.Key("acl");
  out.StartArray();
  for (const std::string& principal : document.acl) put(out, principal);
  out.EndArray();
  put_marks(out, document.marks);
  if (!document.passages.empty()) {
    out.Key("cuts");
    out.StartArray();
    for (const CharRange& passage : document.passages) out.Uint(passage.begin), out.Uint(passage.end);
    out.EndArray();
  }
  put(out, "slots", slots);
  out.EndObject();
}

void put_passage(Writer& out, const Document& document, const Passage& passage, size_t passages,
                 const std::vector<Term>& title, const std::vector<std::string>& labels, const Analyzer& analyzer,
                 std::span<const float> vector) {
  PassageTerms terms;
  for (const Term& term : analyzer.analyze(passage.text)) terms.add(body_field(term.kind), index_term_bytes(term.text));
  terms.add_title(title);
  out.StartObject();
  put(out, "kind", "passage");
  put_properties(out, document);
  put(out, "ordinal", passage.ordinal);
  put(out, "passages", passages);
  put(out, "begin", passage.range.begin);
  put(out, "end", passage.range.end);
  put(out, "hash", passage.hash);
  put(out, "text", passage.text);
  if (passage.locator.kind != Locator::Kind::none) {
    out.Key("locator");
    put_locator(out, passage.locator);
  }
  if (!passage.marks.empty()) put_marks(out, passage.marks);
  if (const auto time = parse_time(document.published_at)) out.Key("time"), out.Int64(time->first);
  out.Key("labels");
  out.StartArray();
  for (const std::string& label : labels) put(out, label);
  out.EndArray();
  for (size_t i = 0; i < kRemoteFields.size(); ++i) {
    if (terms.lengths[i] == 0) continue;
    put(out, kRemoteFields[i].name, terms.words[i]);
    put(out, kRemoteFields[i].length, terms.lengths[i]);
  }
  if (!vector.empty()) {
    out.Key(kVectorField);
    put_vector(out, vector);
  }
  out.EndObject();
}

std::string action(const char* what, const std::string& key, const std::string& routing) {
  // Keys are hexadecimal digits and dashes.
  return fmt::format("{{\"{}\":{{\"_id\":\"{}\",\"routing\":\"{}\"}}}}\n", what, key, routing);
}

// What `write` gives, under the key.
template <typename Write>
BulkItem indexed(const std::string& document_id, const std::string& key, const std::string& routing, const Write& write) {
  rapidjson::StringBuffer buffer;
  Writer out(buffer);
  write(out);
  BulkItem item{document_id, action("index", key, routing)};
  item.lines.append(buffer.GetString(), buffer.GetSize()) += '\n';
  return item;
}

}  // namespace

const RemoteField* remote_field(TermField field) {
  for (const RemoteField& known : kRemoteFields)
    if (known.field == field) return &known;
  return nullptr;
}

std::string remote_term(std::string_view term) {
  std::string text;
  for (const char c : term) c == ' ' ? text += "\u00A0" : text += c;
  return text;
}

std::string index_definition(const RankingParameters& ranking, const RemoteVectors& vectors, bool is_opensearch) {
  rapidjson::StringBuffer buffer;
  Writer out(buffer);
  out.StartObject();
  out.Key("settings");
  put_settings(out, ranking, is_opensearch && !vectors.identity.empty());
  out.Key("mappings");
  put_mappings(out, vectors, is_opensearch);
  out.EndObject();
  return buffer.GetString();
}

std::string record_key(std::string_view document_id) {
  Sha256 hash;
  hash.add(std::as_bytes(std::span(document_id)));
  std::string key;
  for (const uint8_t byte : hash.finish()) key += fmt::format("{:02x}", byte);
  return key;
}

std::string passage_key(std::string_view record_key, uint32_t ordinal) {
  return fmt::format("{}-{}", record_key, ordinal);
}

BulkItem record_of(const Document& document, uint32_t slots) {
  const std::string key = record_key(document.id);
  return indexed(document.id, key, key, [&](Writer& out) { put_record(out, document, slots); });
}

void append_passages(const Document& document, const std::vector<Passage>& passages, const Analyzer& analyzer,
                     const std::vector<std::span<const float>>& vectors, std::vector<BulkItem>& items) {
  const std::string key = record_key(document.id);
  const std::vector<Term> title = analyzer.analyze_title(document.title, document.author);
  // The time is a number of its own.
  std::vector<std::string> labels = filter_terms(document);
  std::erase_if(labels, [](const std::string& label) { return label.starts_with('t'); });
  for (size_t i = 0; i < passages.size(); ++i)
    items.push_back(indexed(document.id, passage_key(key, passages[i].ordinal), key, [&](Writer& out) {
      put_passage(out, document, passages[i], passages.size(), title, labels, analyzer,
                  vectors.empty() ? std::span<const float>() : vectors[i]);
    }));
}

BulkItem removal(const std::string& document_id, const std::string& record_key, const std::string& key) {
  return {document_id, action("delete", key, record_key)};
}

BulkItem commit_note(uint64_t commit) {
  const std::string key(kCommitKey);
  return {"", action("index", key, key) + fmt::format("{{\"kind\":\"commit\",\"commit\":{}}}\n", commit)};
}

BulkItem vocabulary_note(const Vocabulary& vocabulary) {
  const std::string key(kVocabularyKey);
  return indexed("", key, key, [&](Writer& out) {
    out.StartObject();
    put(out, "kind", "vocabulary");
    put(out, "text", format_vocabulary(vocabulary));
    out.EndObject();
  });
}

}  // namespace wenqu::retrieval
