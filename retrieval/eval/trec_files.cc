#include "retrieval/eval/trec_files.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <functional>
#include <set>
#include <sstream>
#include <string_view>

#include <fmt/format.h>

namespace wenqu::retrieval {
namespace {

// Hands each line that is not empty to `take`, whose error gets the place.
Status read_lines(const std::string& path, const std::function<Status(const std::string&)>& take) {
  std::ifstream in(path);
  if (!in) return Status(StatusCode::not_found, "cannot open this file", path);
  std::string line;
  for (size_t number = 1; std::getline(in, line); ++number) {
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (line.find_first_not_of(" \t") == std::string::npos) continue;
    if (const Status status = take(line); !status) return status.at(fmt::format("{}:{}", path, number));
  }
  if (in.bad()) return Status(StatusCode::io_error, "reading failed", path);
  return {};
}

std::vector<std::string> fields_of(const std::string& line) {
  std::istringstream in(line);
  std::vector<std::string> fields;
  for (std::string field; in >> field;) fields.push_back(field);
  return fields;
}

Status invalid(const char* message) { return Status(StatusCode::invalid_argument, message); }

bool read_whole(const std::string& text, int& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace

Result<std::vector<Question>> read_questions(const std::string& path) {
  std::vector<Question> questions;
  std::set<std::string> seen;
  WENQU_RETURN_IF_ERROR(read_lines(path, [&](const std::string& line) -> Status {
    const size_t tab = line.find('\t');
    if (tab == std::string::npos || tab == 0 || tab + 1 == line.size()) return invalid("a line is not 'id<TAB>query'");
    Question question{line.substr(0, tab), line.substr(tab + 1)};
    if (!seen.insert(question.id).second) return invalid("this query id stood in a line before");
    questions.push_back(std::move(question));
    return {};
  }));
  return questions;
}

Result<Judgements> read_judgements(const std::string& path) {
  Judgements judgements;
  WENQU_RETURN_IF_ERROR(read_lines(path, [&](const std::string& line) -> Status {
    const std::vector<std::string> fields = fields_of(line);
    int grade = 0;
    if (fields.size() != 4 || !read_whole(fields[3], grade)) return invalid("a line is not 'query 0 document grade'");
    judgements[fields[0]][fields[2]] = grade;
    return {};
  }));
  return judgements;
}

Result<Run> read_run(const std::string& path) {
  std::map<std::string, std::vector<std::pair<int, std::string>>> ranked;
  WENQU_RETURN_IF_ERROR(read_lines(path, [&](const std::string& line) -> Status {
    const std::vector<std::string> fields = fields_of(line);
    int rank = 0;
    if (fields.size() != 6 || !read_whole(fields[3], rank)) return invalid("a line is not 'query Q0 document rank score name'");
    ranked[fields[0]].emplace_back(rank, fields[2]);
    return {};
  }));
  Run run;
  for (auto& [query, documents] : ranked) {
    std::stable_sort(documents.begin(), documents.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    for (auto& [rank, document] : documents) run[query].push_back(std::move(document));
  }
  return run;
}

}  // namespace wenqu::retrieval
