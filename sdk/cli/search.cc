#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>

#include "base/utf8.h"
#include "retrieval/index.h"
#include "sdk/cli/commands.h"
#include "sdk/cli/interrupt.h"
#include "sdk/cli/load.h"
#include "sdk/cli/sources.h"
#include "sdk/cli/terminal.h"
#include "sdk/protocol/event_json.h"

namespace wenqu::cli {
namespace {

// The matching words between `on` and `off`; `shown` is what becomes of the text.
template <typename Shown>
std::string marked(const retrieval::Hit& hit, std::string_view on, std::string_view off, const Shown& shown) {
  std::string out;
  size_t done = 0;
  for (const retrieval::CharRange& match : hit.matches) {
    const size_t begin = utf8_offset(hit.snippet, match.begin), end = utf8_offset(hit.snippet, match.end);
    out += shown(hit.snippet.substr(done, begin - done));
    out += on;
    out += shown(hit.snippet.substr(begin, end - begin));
    out += off;
    done = end;
  }
  return out + shown(hit.snippet.substr(done));
}

void print_hits(const retrieval::SearchResponse& found, size_t offset) {
  const bool terminal = ::isatty(STDOUT_FILENO) == 1;
  size_t number = offset;
  const auto shown = [&](const std::string& text) { return terminal ? visible(text) : text; };
  for (const retrieval::Hit& hit : found.hits) {
    fmt::print("{:2}. {}  [{}] {}\n", ++number, shown(hit.title.empty() ? hit.passage.document_id : hit.title),
               retrieval::source_name(hit.source), shown(hit.published_at));
    std::string snippet = terminal ? marked(hit, "\033[1;33m", "\033[0m", shown) : marked(hit, "**", "**", shown);
    for (char& c : snippet)
      if (c == '\n') c = ' ';
    const std::string place = retrieval::describe(hit.passage.locator);
    fmt::print("    {}\n    {} #{}{}{}, score {:.3f}\n", snippet, shown(hit.passage.document_id), hit.passage.ordinal,
               place.empty() ? "" : ", ", place, hit.score);
    if (!hit.copies.empty()) fmt::print("    the same in {}\n", shown(fmt::format("{}", fmt::join(hit.copies, ", "))));
  }
  fmt::print("{} of {}{} matching passages\n", found.hits.size(), found.total_is_exact ? "" : "about ", found.total);
}

retrieval::HybridOptions hybrid_options(const SearchOptions& options) {
  using retrieval::HybridOptions;
  HybridOptions hybrid;
  if (options.hybrid) hybrid.dense = HybridOptions::Use::required;
  if (options.fusion == "scores") hybrid.fusion = HybridOptions::Fusion::scores;
  hybrid.dense_weight = options.dense_weight;
  hybrid.candidates = options.candidates;
  hybrid.reranked = options.reranked;
  return hybrid;
}

// Every query of a TSV file ("id<TAB>query"), as TREC run lines with each document's best passage.
Status write_run(const retrieval::Index& index, const SearchOptions& options,
                 const std::vector<retrieval::Source>& sources, const retrieval::Filter& filter, const CancelToken& cancel) {
  std::ifstream queries(options.queries_file);
  if (!queries) return Status(StatusCode::not_found, "cannot open the queries", options.queries_file);
  std::ofstream run(options.run_file);
  if (!run) return Status(StatusCode::io_error, "cannot write here", options.run_file);
  std::string line;
  for (size_t number = 1; std::getline(queries, line); ++number) {
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (line.empty()) continue;
    const std::string where = fmt::format("{}:{}", options.queries_file, number);
    const size_t tab = line.find('\t');
    if (tab == std::string::npos || tab == 0 || tab + 1 == line.size())
      return Status(StatusCode::invalid_argument, "a line is not 'id<TAB>query'", where);
    retrieval::SearchRequest request;
    request.query = line.substr(tab + 1);
    request.top = options.top ? options.top : 100;
    request.sources = sources;
    request.filter = filter;
    request.one_per_document = true;
    request.hybrid = hybrid_options(options);
    request.snippets = false;
    Result<retrieval::SearchResponse> found = index.search(request, cancel);
    if (!found) return found.status().at(where);
    size_t rank = 0;
    for (const retrieval::Hit& hit : found->hits)
      run << fmt::format("{} Q0 {} {} {:.6f} wenqu\n", line.substr(0, tab), hit.passage.document_id, ++rank, hit.score);
  }
  run.flush();
  if (!run) return Status(StatusCode::io_error, "writing failed: is the disk full?", options.run_file);
  return {};
}

}  // namespace

int run_search(const SearchOptions& options) {
  Result<std::vector<retrieval::Source>> sources = parse_sources(options.sources);
  if (!sources) return report(sources.status());
  Result<retrieval::Filter> filter = parse_filter(options.filter);
  if (!filter) return report(filter.status());
  if (options.query.empty() && options.queries_file.empty())
    return report(Status(StatusCode::invalid_argument, "say what to search for", "QUERY"));
  Interrupt interrupt;
  if (options.index.size() > 1 && !(options.models.embed.empty() && options.models.rerank.empty()))
    return report(Status(StatusCode::invalid_argument, "several indexes are searched together by words only", "--embed, --rerank"));
  const Result<retrieval::IndexModels> models = load_search_models(options.models, options.threads);
  if (!models) return report(models.status());
  Result<std::unique_ptr<retrieval::Index>> index =
      options.index.size() == 1 ? retrieval::Index::open(options.index[0], retrieval::Index::Mode::read, {.models = *models, .remote = remote_options(options.remote)})
                                : retrieval::Index::open_together(options.index);
  if (!index) return report(index.status());
  if (!options.queries_file.empty()) return report(write_run(**index, options, *sources, *filter, interrupt.token()));
  retrieval::SearchRequest request;
  request.query = options.query;
  if (options.top) request.top = options.top;
  request.offset = options.offset;
  request.sources = *sources;
  request.filter = *filter;
  request.collapse_duplicates = !options.all_copies;
  request.hybrid = hybrid_options(options);
  Result<retrieval::SearchResponse> found = (*index)->search(request, interrupt.token());
  if (!found) return report(found.status());
  if (options.json)
    fmt::print("{}\n", protocol::search_to_json(options.query, *found));
  else
    print_hits(*found, options.offset);
  return kExitOk;
}

}  // namespace wenqu::cli
