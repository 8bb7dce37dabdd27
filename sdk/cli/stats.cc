#include <fmt/format.h>
#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

#include "retrieval/index_report.h"
#include "sdk/cli/commands.h"
#include "sdk/cli/interrupt.h"

namespace wenqu::cli {
namespace {

using retrieval::IndexReport;
using JsonWriter = rapidjson::Writer<rapidjson::StringBuffer>;

double mebibytes(uint64_t bytes) { return static_cast<double>(bytes) / (1 << 20); }

void print_report(const IndexReport& report) {
  fmt::print("commit {}: {} documents, {} passages, {} files, {:.1f} MiB, {:.1f} % of what lies there deleted\n",
             report.commit, report.documents, report.passages, report.files, mebibytes(report.bytes),
             report.deleted * 100);
  for (const auto& [content, bytes] : report.bytes_by_content)
    fmt::print("  {:<12} {:>10.1f} MiB\n", content, mebibytes(bytes));
  fmt::print("segments: {}\n", report.segments.size());
  for (const auto& segment : report.segments)
    fmt::print("  {:<6} {:>10} documents {:>10} passages {:>8.1f} MiB {:>6.1f} % deleted\n", segment.name,
               segment.documents, segment.passages, mebibytes(segment.bytes), segment.deleted * 100);
  if (report.user_words > 0 || report.synonym_rules > 0 || report.pinyin)
    fmt::print("vocabulary: {} words, {} rules of synonyms, {} pinyin\n", report.user_words, report.synonym_rules, report.pinyin ? "with" : "without");
  fmt::print("fields:\n");
  for (const auto& field : report.fields) {
    fmt::print("  {:<4} {:>8.1f} terms in a passage", field.name, field.average_length);
    if (field.terms > 0) fmt::print(", {} distinct, the commonest:", field.terms);
    for (const auto& term : field.top) fmt::print(" {} ({})", term.text, term.passages);
    fmt::print("\n");
  }
}

void write_field(JsonWriter& writer, const retrieval::FieldReport& field) {
  writer.StartObject();
  writer.Key("name");
  writer.String(field.name.c_str());
  writer.Key("average_length");
  writer.Double(field.average_length);
  if (field.terms > 0) {
    writer.Key("terms");
    writer.Uint64(field.terms);
    writer.Key("top");
    writer.StartArray();
    for (const auto& term : field.top) {
      writer.StartObject();
      writer.Key("term");
      writer.String(term.text.c_str());
      writer.Key("passages");
      writer.Uint64(term.passages);
      writer.EndObject();
    }
    writer.EndArray();
  }
  writer.EndObject();
}

void print_json(const IndexReport& report) {
  rapidjson::StringBuffer buffer;
  JsonWriter writer(buffer);
  const auto number = [&writer](const char* key, uint64_t value) {
    writer.Key(key);
    writer.Uint64(value);
  };
  const auto share = [&writer](double value) {
    writer.Key("deleted");
    writer.Double(value);
  };
  writer.StartObject();
  number("commit", report.commit);
  number("documents", report.documents);
  number("passages", report.passages);
  share(report.deleted);
  number("files", report.files);
  number("bytes", report.bytes);
  number("user_words", report.user_words);
  number("synonym_rules", report.synonym_rules);
  writer.Key("pinyin");
  writer.Bool(report.pinyin);
  writer.Key("bytes_by_content");
  writer.StartObject();
  for (const auto& [content, bytes] : report.bytes_by_content) number(content.c_str(), bytes);
  writer.EndObject();
  writer.Key("segments");
  writer.StartArray();
  for (const auto& segment : report.segments) {
    writer.StartObject();
    writer.Key("name");
    writer.String(segment.name.c_str());
    number("documents", segment.documents);
    number("passages", segment.passages);
    share(segment.deleted);
    number("bytes", segment.bytes);
    writer.EndObject();
  }
  writer.EndArray();
  writer.Key("fields");
  writer.StartArray();
  for (const auto& field : report.fields) write_field(writer, field);
  writer.EndArray();
  writer.EndObject();
  fmt::print("{}\n", buffer.GetString());
}

}  // namespace

int run_stats(const StatsOptions& options) {
  Interrupt interrupt;
  const auto report = retrieval::report_index(options.index, options.terms, interrupt.token());
  if (!report) return cli::report(report.status());
  if (options.json)
    print_json(*report);
  else
    print_report(*report);
  return kExitOk;
}

}  // namespace wenqu::cli
