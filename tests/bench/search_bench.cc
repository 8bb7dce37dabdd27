// CPU time of searching an index, question by question, and whether leaving postings out changed a result:
//
//   wenqu_search_bench INDEX QUERIES.tsv [FIELDS] [TOP] [PASSES] [METHOD]
//
// QUERIES.tsv has lines "id<TAB>question". FIELDS: "all" (whole searches: ranking, reading of hits and snippets),
// "stage1" (ranking by all fields alone), "bigrams" (ranking by pairs of Chinese characters and English words alone,
// question words included, as Lucene's CJKAnalyzer makes them). METHOD: "cost" (default), "skip", "exhaust", or "check" (both,
// compared). Prints one line of JSON of the last pass; the first ones fill the caches.
#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "retrieval/index.h"
#include "retrieval/index/open_commit.h"
#include "retrieval/query/question_terms.h"
#include "retrieval/rank/ranking.h"

using namespace wenqu;
using namespace wenqu::retrieval;

namespace {

double cpu_us() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) / 1e3;
}

int fail(const Status& status) {
  std::fprintf(stderr, "%s\n", status.to_string().c_str());
  return 1;
}

// Memory of our own now, without what the system maps from files.
long own_kib() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("RssAnon:")) return std::atol(line.c_str() + 8);
  return 0;
}

bool same(const Ranking& a, const Ranking& b) {
  return std::equal(a.best.begin(), a.best.end(), b.best.begin(), b.best.end(),
                    [](const auto& x, const auto& y) { return x.doc == y.doc && x.score == y.score; });
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: %s INDEX QUERIES.tsv [all|stage1|bigrams] [TOP] [PASSES] [cost|skip|exhaust|check]\n", argv[0]);
    return 2;
  }
  const std::string fields = argc > 3 ? argv[3] : "all";
  const size_t top = argc > 4 ? std::strtoul(argv[4], nullptr, 10) : 10;
  const int passes = argc > 5 ? std::atoi(argv[5]) : 3;
  const std::string method = argc > 6 ? argv[6] : "cost";
  std::vector<std::string> questions;
  std::ifstream file(argv[2]);
  for (std::string line; std::getline(file, line);)
    if (const size_t tab = line.find('\t'); tab != std::string::npos && tab + 1 < line.size()) questions.push_back(line.substr(tab + 1));
  if (questions.empty()) return fail(Status(StatusCode::invalid_argument, "no questions", argv[2]));

  const double before_open = cpu_us();
  IndexOptions options;
  options.result_cache_bytes = 0;
  std::unique_ptr<Index> index;
  std::shared_ptr<const Snapshot> snapshot;
  if (fields == "all") {
    auto opened = Index::open(argv[1], Index::Mode::read, options);
    if (!opened) return fail(opened.status());
    index = std::move(*opened);
  } else {
    auto opened = open_newest_commit(IndexPaths(argv[1]), nullptr);
    if (!opened) return fail(opened.status());
    snapshot = std::move(*opened);
  }
  const double open_us = cpu_us() - before_open;
  const long own_at_start = own_kib();
  const Analyzer analyzer{};
  std::vector<double> times;
  double sum = 0, hits = 0, first_pass = 0;
  size_t different = 0;
  for (int pass = 0; pass < passes; ++pass) {
    times.clear();
    sum = hits = 0;
    for (const std::string& question : questions) {
      const double begin = cpu_us();
      if (fields == "all") {
        SearchRequest request;
        request.query = question;
        request.top = top;
        request.snippets = false;
        const auto found = index->search(request, CancelToken());
        if (!found) return fail(found.status());
        hits += static_cast<double>(found->hits.size());
      } else {
        std::vector<Term> terms = fields == "bigrams" ? analyzer.analyze(question) : analyzer.analyze_question(question);
        if (fields == "bigrams")
          std::erase_if(terms, [](const Term& term) { return term.kind != Term::Kind::bigram && term.kind != Term::Kind::word; });
        const std::vector<QuestionTerm> distinct = fields == "bigrams" ? distinct_terms(std::move(terms)) : search_terms(std::move(terms));
        RankRequest request;
        request.top = top;
        request.method = method == "skip" || method == "check" ? RankRequest::Method::skipping
                         : method == "exhaust"                 ? RankRequest::Method::exhaustive
                                                               : RankRequest::Method::by_cost;
        const auto found = rank_passages(*snapshot, distinct, request, CancelToken());
        if (!found) return fail(found.status());
        hits += static_cast<double>(found->best.size());
        if (method == "check") {
          request.method = RankRequest::Method::exhaustive;
          const auto all = rank_passages(*snapshot, distinct, request, CancelToken());
          if (!all) return fail(all.status());
          different += !same(*found, *all);
        }
      }
      times.push_back(cpu_us() - begin);
      sum += times.back();
    }
    if (pass == 0) first_pass = sum;
  }
  std::sort(times.begin(), times.end());
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto count = static_cast<double>(times.size());
  std::printf("{\"program\": \"wenqu\", \"fields\": \"%s\", \"method\": \"%s\", \"top\": %zu, \"queries\": %zu, \"mean_us\": %.0f, "
              "\"p50_us\": %.0f, \"p99_us\": %.0f, \"first_pass_mean_us\": %.0f, \"hits\": %.1f, \"open_ms\": %.0f, "
              "\"own_mib_opened\": %ld, \"own_mib\": %ld, \"max_rss_mib\": %ld, \"different\": %zu}\n",
              fields.c_str(), method.c_str(), top, times.size(), sum / count, times[times.size() / 2], times[times.size() * 99 / 100],
              first_pass / count, hits / count, open_us / 1000, own_at_start / 1024, own_kib() / 1024, usage.ru_maxrss / 1024, different);
  return different == 0 ? 0 : 1;
}
