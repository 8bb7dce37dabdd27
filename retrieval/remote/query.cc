#include "retrieval/remote/query.h"

#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

#include <algorithm>

#include "retrieval/index/filter_terms.h"
#include "retrieval/remote/vector_json.h"

namespace wenqu::retrieval {
namespace {

using Writer = rapidjson::Writer<rapidjson::StringBuffer>;

// As far as an exact number of what was found is asked for.
constexpr uint64_t kCounted = 10'000;
constexpr size_t kLeastCandidates = 100, kMostCandidates = 10'000;

void put_text(Writer& out, std::string_view text) { out.String(text.data(), static_cast<rapidjson::SizeType>(text.size())); }

// {"name": and an object around what `inside` writes.
template <typename Inside>
void put_object(Writer& out, const char* name, const Inside& inside) {
  out.Key(name);
  out.StartObject();
  inside();
  out.EndObject();
}

template <typename Inside>
void put_array(Writer& out, const char* name, const Inside& inside) {
  out.Key(name);
  out.StartArray();
  inside();
  out.EndArray();
}

// One clause as an object of its own: {"term": {"field": "value"}}.
void term_clause(Writer& out, const char* field, std::string_view value) {
  out.StartObject();
  put_object(out, "term", [&] {
    out.Key(field);
    put_text(out, value);
  });
  out.EndObject();
}

void terms_clause(Writer& out, const char* field, const std::vector<std::string>& values) {
  out.StartObject();
  put_object(out, "terms", [&] {
    put_array(out, field, [&] {
      for (const std::string& value : values)
        if (!value.empty()) put_text(out, value);
    });
  });
  out.EndObject();
}

Status time_clause(Writer& out, const Filter& filter) {
  if (filter.published_from.empty() && filter.published_until.empty()) return {};
  Status status;
  out.StartObject();
  put_object(out, "range", [&] {
    put_object(out, "time", [&] {
      for (const bool is_end : {false, true}) {
        const std::string& text = is_end ? filter.published_until : filter.published_from;
        if (text.empty()) continue;
        const auto time = parse_time(text);
        if (!time)
          status = Status(StatusCode::invalid_argument, "'" + text.substr(0, 40) + "' is no ISO 8601 date or date-time",
                          is_end ? "published_until" : "published_from");
        out.Key(is_end ? "lte" : "gte");
        out.Int64(time ? (is_end ? time->last : time->first) : 0);
      }
    });
  });
  out.EndObject();
  return status;
}

// Documents for everybody, and those for one of these.
void access_clause(Writer& out, const std::vector<std::string>& principals) {
  std::vector<std::string> labels;
  for (const std::string& principal : principals) labels.push_back(principal_term(principal));
  out.StartObject();
  put_object(out, "bool", [&] {
    put_array(out, "should", [&] {
      out.StartObject();
      put_object(out, "bool",
                 [&] { put_array(out, "must_not", [&] { term_clause(out, "labels", kRestrictedTerm); }); });
      out.EndObject();
      terms_clause(out, "labels", labels);
    });
    out.Key("minimum_should_match"), out.Int(1);
  });
  out.EndObject();
}

Status put_filters(Writer& out, const PassageQuery& query) {
  Status status;
  put_array(out, "filter", [&] {
    term_clause(out, "kind", "passage");
    if (!query.sources.empty()) {
      std::vector<std::string> names;
      for (const Source source : query.sources) names.emplace_back(source_name(source));
      terms_clause(out, "source", names);
    }
    status = time_clause(out, query.filter);
    for (const auto& [name, values] : query.filter.attributes) {
      std::vector<std::string> labels;
      for (const std::string& value : values) labels.push_back(attribute_term(name, value));
      terms_clause(out, "labels", labels);
    }
    if (query.filter.principals) access_clause(out, *query.filter.principals);
  });
  return status;
}

}  // namespace

Result<std::string> passage_search(const PassageQuery& query) {
  rapidjson::StringBuffer buffer;
  Writer out(buffer);
  Status status;
  out.StartObject();
  out.Key("size"), out.Uint64(query.size);
  out.Key("track_total_hits"), out.Uint64(kCounted);
  put_object(out, "query", [&] {
    put_object(out, "bool", [&] {
      put_array(out, "should", [&] {
        for (const RemoteClause& clause : query.clauses) {
          const RemoteField* field = remote_field(clause.field);
          if (!field) continue;
          out.StartObject();
          put_object(out, "term", [&] {
            put_object(out, field->name, [&] {
              out.Key("value"), put_text(out, remote_term(clause.term));
              out.Key("boost"), out.Double(clause.boost);
            });
          });
          out.EndObject();
        }
      });
      out.Key("minimum_should_match"), out.Int(1);
      status = put_filters(out, query);
    });
  });
  put_array(out, "sort", [&] {
    for (const auto& [field, order] : {std::pair("_score", "desc"), {"document_id", "asc"}, {"ordinal", "asc"}}) {
      out.StartObject();
      out.Key(field), put_text(out, order);
      out.EndObject();
    }
  });
  out.EndObject();
  if (!status) return status;
  return std::string(buffer.GetString(), buffer.GetSize());
}

Result<std::string> vector_search(std::span<const float> vector, const PassageQuery& among, bool is_opensearch) {
  rapidjson::StringBuffer buffer;
  Writer out(buffer);
  Status status;
  const auto put_filter = [&] {
    put_object(out, "filter", [&] { put_object(out, "bool", [&] { status = put_filters(out, among); }); });
  };
  out.StartObject();
  out.Key("size"), out.Uint64(among.size);
  out.Key("track_total_hits"), out.Bool(false);
  if (is_opensearch)
    put_object(out, "query", [&] {
      put_object(out, "knn", [&] {
        put_object(out, kVectorField, [&] {
          out.Key("vector"), put_vector(out, vector);
          out.Key("k"), out.Uint64(among.size);
          put_filter();
        });
      });
    });
  else
    put_object(out, "knn", [&] {
      out.Key("field"), put_text(out, kVectorField);
      out.Key("query_vector"), put_vector(out, vector);
      out.Key("k"), out.Uint64(among.size);
      // Of each shard; the more, the surer are the nearest among them.
      out.Key("num_candidates"), out.Uint64(std::clamp(2 * among.size, kLeastCandidates, kMostCandidates));
      put_filter();
    });
  out.EndObject();
  if (!status) return status;
  return std::string(buffer.GetString(), buffer.GetSize());
}

std::string statistics_search(const std::vector<std::pair<TermField, std::string>>& terms, bool of_all) {
  rapidjson::StringBuffer buffer;
  Writer out(buffer);
  out.StartObject();
  out.Key("size"), out.Int(0);
  out.Key("track_total_hits"), out.Bool(false);
  put_object(out, "aggs", [&] {
    const auto counts = [&](const char* name, const auto& clauses) {
      put_object(out, name, [&] { put_object(out, "filters", [&] { put_array(out, "filters", clauses); }); });
    };
    if (!terms.empty())
      counts("terms", [&] {
        for (const auto& [field, term] : terms)
          if (const RemoteField* known = remote_field(field)) term_clause(out, known->name, remote_term(term));
      });
    if (!of_all) return;
    counts("kinds", [&] {
      term_clause(out, "kind", "record");
      term_clause(out, "kind", "passage");
    });
    for (const RemoteField& field : kRemoteFields)
      put_object(out, field.length,
                 [&] { put_object(out, "stats", [&] { out.Key("field"), put_text(out, field.length); }); });
  });
  out.EndObject();
  return {buffer.GetString(), buffer.GetSize()};
}

std::string texts_search(const std::vector<RemoteRun>& runs, size_t size) {
  rapidjson::StringBuffer buffer;
  Writer out(buffer);
  out.StartObject();
  out.Key("size"), out.Uint64(size);
  out.Key("track_total_hits"), out.Bool(false);
  put_array(out, "_source", [&] {
    for (const char* name : {"document_id", "ordinal", "text"}) put_text(out, name);
  });
  put_object(out, "query", [&] {
    put_object(out, "bool", [&] {
      put_array(out, "filter", [&] { term_clause(out, "kind", "passage"); });
      put_array(out, "should", [&] {
        for (const RemoteRun& run : runs) {
          out.StartObject();
          put_object(out, "bool", [&] {
            put_array(out, "filter", [&] {
              term_clause(out, "document_id", run.document_id);
              out.StartObject();
              put_object(out, "range", [&] {
                put_object(out, "ordinal", [&] {
                  out.Key("gte"), out.Uint(run.begin);
                  out.Key("lt"), out.Uint(run.end);
                });
              });
              out.EndObject();
            });
          });
          out.EndObject();
        }
      });
      out.Key("minimum_should_match"), out.Int(1);
    });
  });
  put_array(out, "sort", [&] { put_text(out, "_doc"); });
  out.EndObject();
  return {buffer.GetString(), buffer.GetSize()};
}

std::string slots_request(const std::vector<std::string>& record_keys) {
  rapidjson::StringBuffer buffer;
  Writer out(buffer);
  out.StartObject();
  put_array(out, "docs", [&] {
    for (const std::string& key : record_keys) {
      out.StartObject();
      out.Key("_id"), put_text(out, key);
      out.Key("routing"), put_text(out, key);
      out.EndObject();
    }
  });
  out.EndObject();
  return {buffer.GetString(), buffer.GetSize()};
}

}  // namespace wenqu::retrieval
