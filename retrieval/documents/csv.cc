#include "retrieval/documents/csv.h"

#include <algorithm>
#include <array>

#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

#include "base/utf8.h"
#include "retrieval/documents/acl_names.h"
#include "retrieval/documents/read_limits.h"
#include "retrieval/documents/text_builder.h"

namespace wenqu::retrieval {
namespace {

constexpr size_t kMaxNameBytes = 120;

// The separator that stands most often outside quotes in the first line.
char separator_of(std::string_view text) {
  constexpr std::array<char, 3> kSeparators = {',', ';', '\t'};
  std::array<size_t, 3> counts{};
  bool quoted = false;
  for (char c : text) {
    if (c == '"') quoted = !quoted;
    if (quoted) continue;
    if (c == '\n' || c == '\r') break;
    for (size_t i = 0; i < kSeparators.size(); ++i) counts[i] += c == kSeparators[i];
  }
  return kSeparators[static_cast<size_t>(std::max_element(counts.begin(), counts.end()) - counts.begin())];
}

class CsvReader {
 public:
  CsvReader(std::string_view text, const std::function<Status(CsvRow&&)>& row)
      : text_(text), separator_(separator_of(text)), row_(row) {}

  Status run() {
    for (size_t i = 0; i < text_.size(); ++i) {
      const char c = text_[i];
      if (quoted_) {
        if (c != '"') {
          field_ += c;
        } else if (i + 1 < text_.size() && text_[i + 1] == '"') {
          field_ += '"';
          ++i;
        } else {
          quoted_ = false;
        }
      } else if (c == '"' && field_.empty()) {
        quoted_ = true;
      } else if (c == separator_) {
        end_field();
      } else if (c == '\n' || c == '\r') {
        WENQU_RETURN_IF_ERROR(end_row());
      } else {
        field_ += c;
      }
    }
    return end_row();
  }

 private:
  void end_field() {
    if (fields_.size() < kMaxCsvColumns) fields_.push_back(std::move(field_));
    field_.clear();
  }
  Status end_row() {
    end_field();
    CsvRow done = std::move(fields_);
    fields_.clear();
    const bool empty = std::all_of(done.begin(), done.end(), [](const std::string& field) {
      return field.find_first_not_of(" \t") == std::string::npos;
    });
    return empty ? Status() : row_(std::move(done));
  }

  std::string_view text_;
  const char separator_;
  const std::function<Status(CsvRow&&)>& row_;
  std::string field_;
  CsvRow fields_;
  bool quoted_ = false;
};

std::string folded(std::string_view name) {
  std::string out;
  for (char c : name)
    if (c != ' ' && c != '\t') out += c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return out;
}

}  // namespace

Status for_each_csv_row(std::string_view text, const std::function<Status(CsvRow&&)>& row) {
  return CsvReader(text, row).run();
}

bool holds_documents(const CsvRow& names) {
  return std::any_of(names.begin(), names.end(), [](const std::string& name) { return folded(name) == "text"; });
}

std::string csv_row_to_json(const CsvRow& names, const CsvRow& row, const std::string& default_id) {
  constexpr std::array<std::string_view, 8> kMembers = {"id", "text", "title", "url", "source", "author", "published_at", "acl"};
  rapidjson::StringBuffer buffer;
  rapidjson::Writer<rapidjson::StringBuffer> json(buffer);
  const auto add = [&](const std::string& name, const std::string& value) {
    json.Key(name.data(), static_cast<rapidjson::SizeType>(name.size()));
    json.String(value.data(), static_cast<rapidjson::SizeType>(value.size()));
  };
  const auto add_acl = [&](const std::string& value) {
    json.Key("acl");
    json.StartArray();
    for (const std::string& name : acl_names(value)) json.String(name.data(), static_cast<rapidjson::SizeType>(name.size()));
    json.EndArray();
  };
  std::array<bool, kMembers.size()> taken{};
  std::vector<size_t> others;
  json.StartObject();
  for (size_t i = 0; i < std::min(names.size(), row.size()); ++i) {
    const std::string name = folded(names[i]);
    const auto member = std::find(kMembers.begin(), kMembers.end(), name);
    if (name == "acls" && !row[i].empty()) {
      add(name, row[i]);   // a member that is refused, as an attribute would let everybody in
    } else if (member == kMembers.end()) {
      others.push_back(i);
    } else if (bool& done = taken[static_cast<size_t>(member - kMembers.begin())]; !done && !row[i].empty()) {
      name == "acl" ? add_acl(row[i]) : add(name, row[i]);
      done = true;
    }
  }
  if (!taken[0]) add("id", default_id);
  json.Key("attributes");
  json.StartObject();
  for (size_t i : others)
    if (!names[i].empty() && !row[i].empty()) add(names[i], row[i]);
  json.EndObject();
  json.EndObject();
  return {buffer.GetString(), buffer.GetSize()};
}

Result<Extracted> extract_csv(std::string_view text) {
  CsvRow names;
  TextBuilder out;
  uint64_t number = 0;
  WENQU_RETURN_IF_ERROR(for_each_csv_row(text, [&](CsvRow&& row) -> Status {
    if (names.empty()) {
      names = std::move(row);
      // They stand before every row's fields.
      for (std::string& name : names) name.resize(utf8_complete_prefix(std::string_view(name).substr(0, kMaxNameBytes)));
      return {};
    }
    if (out.size() > kMaxTextBytesOfFile) return Status(StatusCode::limit_exceeded, "the table holds too much text");
    out.break_paragraph();
    out.mark({Locator::Kind::row, ++number});
    for (size_t i = 0; i < row.size(); ++i) {
      if (row[i].find_first_not_of(" \t\r\n") == std::string::npos) continue;
      out.break_line();
      if (i < names.size() && !names[i].empty()) out.add(names[i] + ": ");
      out.add(row[i]);
    }
    return {};
  }));
  Extracted extracted;
  if (number == 0) {   // a single row: there are no names above it
    for (const std::string& field : names) {
      out.break_line();
      out.add(field);
    }
  }
  extracted.marks = out.marks();
  extracted.text = out.take();
  return extracted;
}

}  // namespace wenqu::retrieval
