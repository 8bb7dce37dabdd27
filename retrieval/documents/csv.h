// Tables in text (.csv, .tsv; RFC 4180 with ',', ';' or a tab between the fields). Thread safety: pure.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "retrieval/documents/extracted.h"

namespace wenqu::retrieval {

using CsvRow = std::vector<std::string>;

// Calls `row` for every row that is not empty, until it gives an error, which is returned. A quote that is never
// closed ends with the file. Rows keep at most kMaxCsvColumns fields.
inline constexpr size_t kMaxCsvColumns = 1000;
Status for_each_csv_row(std::string_view text, const std::function<Status(CsvRow&&)>& row);

// Whether a table's rows are documents of their own: its names hold `text`.
bool holds_documents(const CsvRow& names);
// A row of such a table as the JSON of a document (reader.h): `id`, `text` and the other known names are members (of `acl`
// the names between ';'), the rest attributes. A row without an id gets `default_id`.
std::string csv_row_to_json(const CsvRow& names, const CsvRow& row, const std::string& default_id);

// Any other table as one text: a paragraph for each row, its fields after their names, each row marked.
// Errors: limit_exceeded.
Result<Extracted> extract_csv(std::string_view text);

}  // namespace wenqu::retrieval
