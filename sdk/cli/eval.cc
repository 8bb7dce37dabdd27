#include <fmt/format.h>
#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/http/url.h"
#include "retrieval/documents/reader.h"
#include "retrieval/eval/measures.h"
#include "retrieval/eval/trec_files.h"
#include "retrieval/index.h"
#include "sdk/cli/commands.h"
#include "sdk/cli/interrupt.h"
#include "sdk/cli/load.h"

namespace wenqu::cli {
namespace {

using retrieval::Interval;
using retrieval::Measure;
using retrieval::Measured;
using PerQuery = std::map<std::string, Measured>;

constexpr size_t kQuestionsAtOnce = 16;   // of a cluster

// A folder that goes when we do.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::error_code error;
    std::string pattern = (std::filesystem::temp_directory_path(error) / "wenqu-eval-XXXXXX").string();
    if (!error && ::mkdtemp(pattern.data())) path_ = pattern;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

Status add_documents(const std::string& path, retrieval::Index& index, const CancelToken& cancel) {
  retrieval::ReadSink sink;
  sink.document = [&](retrieval::Document&& document) { return index.add(document); };
  sink.problem = [](const Status& problem) { std::fprintf(stderr, "wenqu: passed over: %s\n", problem.to_string().c_str()); };
  WENQU_RETURN_IF_ERROR(retrieval::read_documents(path, {}, sink, cancel).status());
  return index.commit();
}

Result<std::string> read_text(const std::string& path) {
  std::ifstream in(path);
  if (!in) return Status(StatusCode::not_found, "cannot open this file", path);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

Result<retrieval::RankingParameters> ranking_of(const EvalOptions& options) {
  if (options.ranking.empty()) return retrieval::RankingParameters();
  WENQU_ASSIGN_OR_RETURN(const std::string json, read_text(options.ranking));
  Result<retrieval::RankingParameters> parameters = retrieval::RankingParameters::parse(json);
  if (!parameters) return parameters.status().at(options.ranking);
  return parameters;
}

Result<std::unique_ptr<retrieval::Index>> open_index(const EvalOptions& options, const std::string& folder, const CancelToken& cancel) {
  retrieval::IndexOptions how;
  WENQU_ASSIGN_OR_RETURN(how.ranking, ranking_of(options));
  how.result_cache_bytes = 0;
  how.remote = remote_options(options.remote);
  WENQU_ASSIGN_OR_RETURN(how.vocabulary, load_vocabulary(options.vocabulary));
  const auto mode = options.docs.empty() ? retrieval::Index::Mode::read : retrieval::Index::Mode::write;
  WENQU_ASSIGN_OR_RETURN(auto index, retrieval::Index::open(folder, mode, how));
  if (!options.docs.empty()) WENQU_RETURN_IF_ERROR(add_documents(options.docs, *index, cancel));
  return index;
}

struct Searched {
  retrieval::Run run;
  std::vector<double> milliseconds;  // CPU time of each search
};

double thread_milliseconds() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) / 1e6;
}

// Asks every question for its best documents, and writes the run where one is wanted.
Result<Searched> search_all(const EvalOptions& options, const std::vector<retrieval::Question>& questions, const CancelToken& cancel) {
  TemporaryFolder temporary;
  const std::string folder = options.index.empty() ? temporary.path() : options.index;
  if (folder.empty()) return Status(StatusCode::io_error, "cannot make a folder for temporary files: set TMPDIR, or name an --index");
  WENQU_ASSIGN_OR_RETURN(const auto index, open_index(options, folder, cancel));
  std::ofstream out;
  if (!options.run.empty()) {
    out.open(options.run);
    if (!out) return Status(StatusCode::io_error, "cannot write here", options.run);
  }
  Searched searched;
  // A cluster is asked several at once; where this machine searches, each question has its own time.
  const size_t at_once = looks_like_url(folder) ? kQuestionsAtOnce : 1;
  for (size_t first = 0; first < questions.size(); first += at_once) {
    std::vector<retrieval::SearchRequest> requests(std::min(at_once, questions.size() - first));
    for (size_t i = 0; i < requests.size(); ++i) {
      requests[i].query = questions[first + i].text;
      requests[i].top = options.top;
      requests[i].one_per_document = !options.passages;
      requests[i].snippets = false;
    }
    const double begun = thread_milliseconds();
    WENQU_ASSIGN_OR_RETURN(const std::vector<retrieval::SearchResponse> found, index->search_all(requests, cancel));
    const double each = (thread_milliseconds() - begun) / static_cast<double>(requests.size());
    searched.milliseconds.insert(searched.milliseconds.end(), requests.size(), each);
    for (size_t i = 0; i < requests.size(); ++i) {
      const std::string& question = questions[first + i].id;
      std::vector<std::string>& ids = searched.run[question];
      for (const retrieval::Hit& hit : found[i].hits) {
        ids.push_back(hit.passage.document_id);
        if (options.passages) ids.back() += fmt::format(".{}", hit.passage.ordinal);
        if (out) out << fmt::format("{} Q0 {} {} {:.6f} wenqu\n", question, ids.back(), ids.size(), hit.score);
      }
    }
  }
  if (out.is_open()) out.close();
  if (!options.run.empty() && !out) return Status(StatusCode::io_error, "writing failed: is the disk full?", options.run);
  return searched;
}

std::vector<double> values_of(const PerQuery& measured, Measure measure) {
  std::vector<double> values;
  for (const auto& [query, of] : measured) values.push_back(of[measure]);
  return values;
}

// ours - theirs, by question.
std::vector<double> differences(const PerQuery& ours, const PerQuery& theirs, Measure measure) {
  std::vector<double> values;
  for (const auto& [query, of] : ours) values.push_back(of[measure] - theirs.at(query)[measure]);
  return values;
}

double percentile(std::vector<double> values, double share) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[std::min(values.size() - 1, static_cast<size_t>(share * static_cast<double>(values.size())))];
}

void print_table(const PerQuery& ours, const PerQuery* theirs, const std::vector<double>& milliseconds) {
  fmt::print("{} questions\n{:<10} {:>7}   {:<17}", ours.size(), "", "mean", "95 %");
  if (theirs) fmt::print(" {:>8} {:>8}   {:<17} {:>7} {:>6} {:>6}", "other", "differs", "95 %", "chance", "better", "worse");
  fmt::print("\n");
  for (size_t m = 0; m < retrieval::kMeasures; ++m) {
    const auto measure = static_cast<Measure>(m);
    const Interval mean = retrieval::confidence(values_of(ours, measure));
    fmt::print("{:<10} {:>7.4f}   {:.4f} to {:.4f} ", retrieval::measure_name(measure), mean.mean, mean.low, mean.high);
    if (theirs) {
      const std::vector<double> differ = differences(ours, *theirs, measure);
      const Interval difference = retrieval::confidence(differ);
      fmt::print("{:>8.4f} {:>+8.4f}   {:+.4f} to {:+.4f} {:>6.4f} {:>6} {:>6}", mean.mean - difference.mean, difference.mean,
                 difference.low, difference.high, retrieval::chance(differ),
                 std::count_if(differ.begin(), differ.end(), [](double d) { return d > 0; }),
                 std::count_if(differ.begin(), differ.end(), [](double d) { return d < 0; }));
    }
    fmt::print("\n");
  }
  if (!milliseconds.empty())
    fmt::print("CPU time of a search: median {:.3f} ms, 99 % under {:.3f} ms\n", percentile(milliseconds, 0.5), percentile(milliseconds, 0.99));
}

void print_changed(const PerQuery& ours, const PerQuery& theirs) {
  for (const auto& [query, of] : ours) {
    const double before = theirs.at(query)[Measure::mrr_10], now = of[Measure::mrr_10];
    if (before != now) fmt::print("{}\tMRR@10 {:.4f} -> {:.4f}\n", query, before, now);
  }
}

using JsonWriter = rapidjson::Writer<rapidjson::StringBuffer>;

void write_interval(JsonWriter& out, const Interval& interval) {
  out.StartObject();
  out.Key("mean"), out.Double(interval.mean);
  out.Key("low"), out.Double(interval.low);
  out.Key("high"), out.Double(interval.high);
  out.EndObject();
}

void print_json(const PerQuery& ours, const PerQuery* theirs, const std::vector<double>& milliseconds, bool per_query) {
  rapidjson::StringBuffer buffer;
  JsonWriter out(buffer);
  out.SetMaxDecimalPlaces(6);
  out.StartObject();
  out.Key("questions"), out.Uint64(ours.size());
  for (size_t m = 0; m < retrieval::kMeasures; ++m) {
    const auto measure = static_cast<Measure>(m);
    out.Key(std::string(retrieval::measure_name(measure)).c_str());
    out.StartObject();
    out.Key("value"), write_interval(out, retrieval::confidence(values_of(ours, measure)));
    if (theirs) {
      const std::vector<double> differ = differences(ours, *theirs, measure);
      out.Key("difference"), write_interval(out, retrieval::confidence(differ));
      out.Key("chance"), out.Double(retrieval::chance(differ));
    }
    out.EndObject();
  }
  if (!milliseconds.empty()) {
    out.Key("cpu_ms_p50"), out.Double(percentile(milliseconds, 0.5));
    out.Key("cpu_ms_p99"), out.Double(percentile(milliseconds, 0.99));
  }
  if (per_query) {
    out.Key("per_query");
    out.StartObject();
    for (const auto& [query, of] : ours) {
      out.Key(query.c_str());
      out.StartArray();
      for (const double value : of.of) out.Double(value);
      out.EndArray();
    }
    out.EndObject();
  }
  out.EndObject();
  std::printf("%s\n", buffer.GetString());
}

Status evaluate(const EvalOptions& options) {
  if (options.print_ranking) {
    WENQU_ASSIGN_OR_RETURN(const retrieval::RankingParameters parameters, ranking_of(options));
    std::printf("%s\n", parameters.to_json().c_str());
    return {};
  }
  if (options.qrels.empty()) return Status(StatusCode::invalid_argument, "name the judgements", "--qrels");
  WENQU_ASSIGN_OR_RETURN(const retrieval::Judgements judgements, retrieval::read_judgements(options.qrels));
  Interrupt interrupt;
  Searched searched;
  if (!options.judge.empty()) {
    WENQU_ASSIGN_OR_RETURN(searched.run, retrieval::read_run(options.judge));
  } else {
    if (options.queries.empty()) return Status(StatusCode::invalid_argument, "name the questions to ask, or a run to judge", "--queries");
    if (options.docs.empty() && options.index.empty())
      return Status(StatusCode::invalid_argument, "name documents to index, or an index", "--docs");
    WENQU_ASSIGN_OR_RETURN(const auto questions, retrieval::read_questions(options.queries));
    WENQU_ASSIGN_OR_RETURN(searched, search_all(options, questions, interrupt.token()));
  }
  const PerQuery ours = retrieval::measure_run(searched.run, judgements);
  if (ours.empty()) return Status(StatusCode::invalid_argument, "no question has a relevant document", options.qrels);
  const auto unasked = static_cast<size_t>(
      std::count_if(ours.begin(), ours.end(), [&](const auto& entry) { return !searched.run.contains(entry.first); }));
  const std::string& asked = options.judge.empty() ? options.queries : options.judge;
  if (unasked == ours.size())
    return Status(StatusCode::invalid_argument, "none of the judged questions is here: do the ids match?", asked);
  if (unasked > 0)
    std::fprintf(stderr, "wenqu: %s: %zu of %zu judged questions are not here, and count as nothing found\n", asked.c_str(),
                 unasked, ours.size());
  PerQuery theirs;
  if (!options.compare.empty()) {
    WENQU_ASSIGN_OR_RETURN(const retrieval::Run run, retrieval::read_run(options.compare));
    theirs = retrieval::measure_run(run, judgements);
  }
  const PerQuery* other = options.compare.empty() ? nullptr : &theirs;
  if (options.json) {
    print_json(ours, other, searched.milliseconds, options.per_query);
  } else {
    print_table(ours, other, searched.milliseconds);
    if (options.per_query && other) print_changed(ours, theirs);
  }
  return {};
}

}  // namespace

int run_eval(const EvalOptions& options) { return report(evaluate(options)); }

}  // namespace wenqu::cli
