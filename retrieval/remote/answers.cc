#include "retrieval/remote/answers.h"

#include <rapidjson/document.h>
#include <rapidjson/error/en.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <memory>

#include "base/json_depth.h"
#include "base/utf8.h"

namespace wenqu::retrieval {
namespace {

using rapidjson::Value;

constexpr size_t kMaxDepth = 64;
constexpr size_t kMaxReasonBytes = 300;

Status malformed(const std::string& what) {
  return Status(StatusCode::corrupt, "the cluster's answer is not what it should be: " + what);
}

std::string string_of(const Value& value) { return {value.GetString(), value.GetStringLength()}; }

// Strings point into the text, which is kept with the tree.
struct Json {
  std::string text;
  rapidjson::Document tree;
};

Result<std::unique_ptr<Json>> parse(std::string body) {
  if (json_is_deeper(body, kMaxDepth)) return malformed("it is nested too deeply");
  auto json = std::make_unique<Json>();
  json->text = std::move(body);
  json->text.append(3, '\0');   // RapidJSON reads on where a character of several bytes is cut off by the end
  json->tree.ParseInsitu<rapidjson::kParseValidateEncodingFlag>(json->text.data());
  if (json->tree.HasParseError())
    return malformed(std::string("no JSON, ") + rapidjson::GetParseError_En(json->tree.GetParseError()) + " at byte " +
                     std::to_string(json->tree.GetErrorOffset()));
  if (!json->tree.IsObject()) return malformed("it is no object");
  return json;
}

// null when there is none.
const Value* find(const Value& object, const char* name) {
  if (!object.IsObject()) return nullptr;
  const auto member = object.FindMember(name);
  return member == object.MemberEnd() ? nullptr : &member->value;
}

std::string text_in(const Value& object, const char* name) {
  const Value* value = find(object, name);
  return value && value->IsString() ? string_of(*value) : std::string();
}

uint64_t number_in(const Value& object, const char* name) {
  const Value* value = find(object, name);
  return value && value->IsUint64() ? value->GetUint64() : 0;
}

uint32_t small_number_in(const Value& object, const char* name) {
  const Value* value = find(object, name);
  return value && value->IsUint() ? value->GetUint() : 0;
}

Result<const Value*> array_in(const Value& object, const char* name, size_t size = SIZE_MAX) {
  const Value* value = find(object, name);
  if (!value || !value->IsArray()) return malformed(std::string("it lacks the list `") + name + "`");
  if (size != SIZE_MAX && value->Size() != size)
    return malformed(std::string("the list `") + name + "` has " + std::to_string(value->Size()) + " entries, not " +
                     std::to_string(size));
  return value;
}

std::string one_line(std::string text) {
  text.resize(utf8_complete_prefix(std::string_view(text).substr(0, kMaxReasonBytes)));
  text = utf8_sanitize(text);
  for (char& c : text)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) c = ' ';
  return text;
}

// "type: reason" of {"type", "reason"}, and of what caused it.
std::string reason_of(const Value& error) {
  if (error.IsString()) return one_line(string_of(error));
  std::string reason = text_in(error, "reason");
  if (const Value* causes = find(error, "root_cause");
      reason.empty() && causes && causes->IsArray() && !causes->Empty())
    reason = text_in((*causes)[0], "reason");
  const std::string type = text_in(error, "type");
  if (type.empty()) return one_line(reason);
  return one_line(reason.empty() ? type : type + ": " + reason);
}

bool read_locator(const Value& value, Locator& locator) {
  if (!value.IsArray() || value.Size() != 2 || !value[0].IsString() || !value[1].IsUint64()) return false;
  const auto kind = parse_locator(string_of(value[0]));
  if (!kind && value[0].GetStringLength() > 0) return false;
  locator.kind = kind.value_or(Locator::Kind::none);
  locator.number = value[1].GetUint64();
  return true;
}

Status read_marks(const Value& source, std::vector<Mark>& into) {
  const Value* marks = find(source, "marks");
  if (!marks || !marks->IsArray()) return {};
  for (const Value& value : marks->GetArray()) {
    Mark mark;
    if (!value.IsArray() || value.Size() != 2 || !value[0].IsUint() || !read_locator(value[1], mark.locator))
      return malformed("marks are not well formed");
    mark.begin = value[0].GetUint();
    into.push_back(mark);
  }
  return {};
}

// Document and Hit have these alike.
template <typename Target>
Status read_properties(const Value& source, Target& target) {
  target.title = text_in(source, "title");
  target.url = text_in(source, "url");
  target.author = text_in(source, "author");
  target.published_at = text_in(source, "published_at");
  const auto kind = parse_source(text_in(source, "source"));
  if (!kind) return malformed("a document has no source");
  target.source = *kind;
  if (const Value* attributes = find(source, "attributes"); attributes && attributes->IsArray())
    for (const Value& pair : attributes->GetArray()) {
      if (!pair.IsArray() || pair.Size() != 2 || !pair[0].IsString() || !pair[1].IsString())
        return malformed("a document's attributes are not well formed");
      target.attributes[string_of(pair[0])] = string_of(pair[1]);
    }
  return {};
}

Status read_hit(const Value& value, RemoteHit& found) {
  const Value* source = find(value, "_source");
  if (!source || !source->IsObject()) return malformed("a hit has no content");
  const Value* score = find(value, "_score");
  // It is what hits are sorted by first, too.
  if (const Value* sort = find(value, "sort"); (!score || score->IsNull()) && sort && sort->IsArray() && !sort->Empty())
    score = &(*sort)[0];
  if (!score || !score->IsNumber() || !std::isfinite(score->GetDouble())) return malformed("a hit has no score");
  Hit& hit = found.hit;
  hit.score = score->GetDouble();
  WENQU_RETURN_IF_ERROR(read_properties(*source, hit));
  Passage& passage = hit.passage;
  passage.document_id = text_in(*source, "document_id");
  if (passage.document_id.empty()) return malformed("a hit names no document");
  passage.ordinal = small_number_in(*source, "ordinal");
  passage.range = {small_number_in(*source, "begin"), small_number_in(*source, "end")};
  if (passage.range.begin > passage.range.end) return malformed("a passage ends before it begins");
  passage.text = text_in(*source, "text");
  passage.hash = text_in(*source, "hash");
  if (const Value* locator = find(*source, "locator"); locator && !read_locator(*locator, passage.locator))
    return malformed("a passage's place is not well formed");
  WENQU_RETURN_IF_ERROR(read_marks(*source, passage.marks));
  found.passages = std::max(small_number_in(*source, "passages"), passage.ordinal + 1);
  return {};
}

// The list of hits. What was not searched through is an error: a part of the truth would pass for all of it.
Result<const Value*> hits_in(const Value& answer) {
  if (const Value* error = find(answer, "error"))
    return Status(StatusCode::io_error, "the cluster could not search: " + reason_of(*error));
  if (const Value* late = find(answer, "timed_out"); late && late->IsBool() && late->GetBool())
    return Status(StatusCode::timeout, "the cluster did not finish the search in time");
  if (const Value* shards = find(answer, "_shards"); shards && number_in(*shards, "failed") > 0)
    return Status(StatusCode::io_error,
                  "the cluster could not search " + std::to_string(number_in(*shards, "failed")) + " of its shards");
  const Value* hits = find(answer, "hits");
  if (!hits || !hits->IsObject()) return malformed("it has no hits");
  WENQU_RETURN_IF_ERROR(array_in(*hits, "hits").status());
  return hits;
}

Result<RemoteHits> read_hits(const Value& answer) {
  WENQU_ASSIGN_OR_RETURN(const Value* hits, hits_in(answer));
  RemoteHits found;
  if (const Value* total = find(*hits, "total")) {
    found.total = number_in(*total, "value");
    found.total_is_exact = text_in(*total, "relation") != "gte";
  }
  for (const Value& value : (*find(*hits, "hits")).GetArray())
    WENQU_RETURN_IF_ERROR(read_hit(value, found.hits.emplace_back()));
  return found;
}

Result<std::vector<uint64_t>> read_counts(const Value& aggregations, const char* name, size_t size) {
  const Value* counted = find(aggregations, name);
  if (!counted) return malformed(std::string("it lacks the counts `") + name + "`");
  WENQU_ASSIGN_OR_RETURN(const Value* buckets, array_in(*counted, "buckets", size));
  std::vector<uint64_t> counts;
  for (const Value& bucket : buckets->GetArray()) counts.push_back(number_in(bucket, "doc_count"));
  return counts;
}

}  // namespace

Result<RemoteServer> parse_server(std::string body) {
  WENQU_ASSIGN_OR_RETURN(const auto json, parse(std::move(body)));
  const Value* version = find(json->tree, "version");
  RemoteServer server;
  if (version) {
    server.is_opensearch = text_in(*version, "distribution") == "opensearch";
    server.version = one_line(text_in(*version, "number"));
  }
  const auto [end, error] =
      std::from_chars(server.version.data(), server.version.data() + server.version.size(), server.major);
  if (error != std::errc() || server.major < 1)
    return Status(StatusCode::unsupported, "the server tells no version: it is neither OpenSearch nor Elasticsearch");
  if (const size_t dot = server.version.find('.'); dot != server.version.npos)
    std::from_chars(server.version.data() + dot + 1, server.version.data() + server.version.size(), server.minor);
  return server;
}

Result<RemoteHealth> parse_health(std::string body) {
  WENQU_ASSIGN_OR_RETURN(const auto json, parse(std::move(body)));
  RemoteHealth health;
  health.status = text_in(json->tree, "status");
  if (health.status != "green" && health.status != "yellow" && health.status != "red")
    return malformed("it tells no health");
  const Value* late = find(json->tree, "timed_out");
  health.timed_out = late && late->IsBool() && late->GetBool();
  health.unassigned_shards = number_in(json->tree, "unassigned_shards");
  return health;
}

Result<RemoteOrigin> parse_origin(std::string body) {
  WENQU_ASSIGN_OR_RETURN(const auto json, parse(std::move(body)));
  // Under the name of the index, which is another one where the name was an alias.
  for (const auto& index : json->tree.GetObject()) {
    const Value* mappings = find(index.value, "mappings");
    const Value* meta = mappings ? find(*mappings, "_meta") : nullptr;
    if (meta)
      return RemoteOrigin{static_cast<int>(small_number_in(*meta, "wenqu_format")),
                          static_cast<int>(small_number_in(*meta, "wenqu_analysis")),
                          {text_in(*meta, "wenqu_embedding"), small_number_in(*meta, "wenqu_dimensions")}};
  }
  return RemoteOrigin();
}

Result<std::vector<BulkAnswer>> parse_bulk(std::string body, size_t items) {
  WENQU_ASSIGN_OR_RETURN(const auto json, parse(std::move(body)));
  WENQU_ASSIGN_OR_RETURN(const Value* list, array_in(json->tree, "items", items));
  std::vector<BulkAnswer> answers;
  for (const Value& item : list->GetArray()) {
    if (!item.IsObject() || item.MemberCount() != 1) return malformed("an item of a bulk request has no outcome");
    const Value& outcome = item.MemberBegin()->value;
    BulkAnswer& answer = answers.emplace_back();
    answer.status = static_cast<int>(small_number_in(outcome, "status"));
    if (answer.status == 0) return malformed("an item of a bulk request has no status");
    if (const Value* error = find(outcome, "error")) answer.reason = reason_of(*error);
  }
  return answers;
}

Result<RemoteHits> parse_hits(std::string body) {
  WENQU_ASSIGN_OR_RETURN(const auto json, parse(std::move(body)));
  return read_hits(json->tree);
}

Result<std::vector<RemoteHits>> parse_all_hits(std::string body, size_t searches) {
  WENQU_ASSIGN_OR_RETURN(const auto json, parse(std::move(body)));
  WENQU_ASSIGN_OR_RETURN(const Value* answers, array_in(json->tree, "responses", searches));
  std::vector<RemoteHits> all;
  for (const Value& answer : answers->GetArray()) {
    WENQU_ASSIGN_OR_RETURN(RemoteHits hits, read_hits(answer));
    all.push_back(std::move(hits));
  }
  return all;
}

Result<std::vector<RemoteText>> parse_texts(std::string body) {
  WENQU_ASSIGN_OR_RETURN(const auto json, parse(std::move(body)));
  WENQU_ASSIGN_OR_RETURN(const Value* hits, hits_in(json->tree));
  std::vector<RemoteText> texts;
  for (const Value& hit : (*find(*hits, "hits")).GetArray()) {
    const Value* source = find(hit, "_source");
    if (!source) return malformed("a hit has no content");
    texts.push_back({text_in(*source, "document_id"), small_number_in(*source, "ordinal"), text_in(*source, "text")});
  }
  return texts;
}

Result<std::vector<uint64_t>> parse_statistics(std::string body, size_t terms, RemoteTotals* totals) {
  WENQU_ASSIGN_OR_RETURN(const auto json, parse(std::move(body)));
  WENQU_RETURN_IF_ERROR(hits_in(json->tree).status());
  const Value* aggregations = find(json->tree, "aggregations");
  if (!aggregations) return malformed("it has no counts");
  if (totals) {
    WENQU_ASSIGN_OR_RETURN(const std::vector<uint64_t> kinds, read_counts(*aggregations, "kinds", 2));
    totals->documents = kinds[0];
    totals->passages = kinds[1];
    for (size_t i = 0; i < kRemoteFields.size(); ++i) {
      const Value* lengths = find(*aggregations, kRemoteFields[i].length);
      if (!lengths) return malformed("it lacks the lengths of passages");
      totals->fields[i].passages = number_in(*lengths, "count");
      const Value* average = find(*lengths, "avg");  // null where no passage has the field
      if (average && average->IsNumber() && std::isfinite(average->GetDouble()))
        totals->fields[i].average = average->GetDouble();
    }
  }
  if (terms == 0) return std::vector<uint64_t>();
  return read_counts(*aggregations, "terms", terms);
}

Result<std::vector<uint32_t>> parse_slots(std::string body, size_t records) {
  WENQU_ASSIGN_OR_RETURN(const auto json, parse(std::move(body)));
  WENQU_ASSIGN_OR_RETURN(const Value* docs, array_in(json->tree, "docs", records));
  std::vector<uint32_t> slots;
  for (const Value& doc : docs->GetArray()) {
    if (const Value* error = find(doc, "error"))
      return Status(StatusCode::io_error, "the cluster could not read a document: " + reason_of(*error));
    const Value* source = find(doc, "_source");
    slots.push_back(source ? small_number_in(*source, "slots") : 0);
  }
  return slots;
}

Result<Document> parse_record(std::string body) {
  WENQU_ASSIGN_OR_RETURN(const auto json, parse(std::move(body)));
  const Value* source = find(json->tree, "_source");
  if (!source || !source->IsObject()) return malformed("a document has no content");
  Document document;
  document.id = text_in(*source, "document_id");
  document.text = text_in(*source, "text");
  WENQU_RETURN_IF_ERROR(read_properties(*source, document));
  if (const Value* acl = find(*source, "acl"); acl && acl->IsArray())
    for (const Value& principal : acl->GetArray())
      if (principal.IsString()) document.acl.push_back(string_of(principal));
  WENQU_RETURN_IF_ERROR(read_marks(*source, document.marks));
  if (const Value* cuts = find(*source, "cuts"); cuts && cuts->IsArray())
    for (rapidjson::SizeType i = 0; i + 1 < cuts->Size(); i += 2) {
      if (!(*cuts)[i].IsUint() || !(*cuts)[i + 1].IsUint()) return malformed("a document's passages are not well formed");
      document.passages.push_back({(*cuts)[i].GetUint(), (*cuts)[i + 1].GetUint()});
    }
  return document;
}

Result<uint64_t> parse_commit(std::string body) {
  WENQU_ASSIGN_OR_RETURN(const auto json, parse(std::move(body)));
  const Value* source = find(json->tree, "_source");
  return source ? number_in(*source, "commit") : 0;
}

Result<Vocabulary> parse_vocabulary_note(std::string body) {
  WENQU_ASSIGN_OR_RETURN(const auto json, parse(std::move(body)));
  const Value* source = find(json->tree, "_source");
  if (!source) return malformed("the vocabulary has no content");
  return parse_vocabulary(text_in(*source, "text"));
}

std::string parse_reason(std::string body) {
  const auto json = parse(std::move(body));
  if (!json) return {};
  const Value* error = find((*json)->tree, "error");
  return error ? reason_of(*error) : std::string();
}

}  // namespace wenqu::retrieval
