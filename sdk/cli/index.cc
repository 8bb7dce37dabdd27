#include <fmt/format.h>
#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <set>

#include "base/http/url.h"
#include "retrieval/index.h"
#include "retrieval/sync/folder_sync.h"
#include "retrieval/sync/folder_watch.h"
#include "sdk/cli/commands.h"
#include "sdk/cli/interrupt.h"
#include "sdk/cli/load.h"

namespace wenqu::cli {
namespace {

uint64_t bytes_under(const std::string& path) {
  std::error_code error;
  if (std::filesystem::is_regular_file(path, error)) {
    const uint64_t size = std::filesystem::file_size(path, error);
    return error ? 0 : size;
  }
  uint64_t sum = 0;
  std::filesystem::recursive_directory_iterator files(
      path, std::filesystem::directory_options::skip_permission_denied, error), end;
  for (; !error && files != end; files.increment(error))
    if (std::error_code ignored; files->is_regular_file(ignored)) {
      const uint64_t size = files->file_size(ignored);
      if (!ignored) sum += size;
    }
  return sum;
}

// Where what is known of the files stands: in the index, or, for one in a cluster, in a folder for each address, as the
// files are this machine's.
Result<std::string> state_folder(const IndexOptions& options) {
  if (!looks_like_url(options.index)) return options.index;
  std::string folder = options.state;
  if (folder.empty()) {
    const char* state = std::getenv("XDG_STATE_HOME");
    const char* home = std::getenv("HOME");
    if (state && *state) folder = state;
    else if (home && *home) folder = std::string(home) + "/.local/state";
    else return Status(StatusCode::invalid_argument, "there is no home folder for what is known of the files: name one", "--state");
    WENQU_ASSIGN_OR_RETURN(const Url url, parse_url(options.index));
    folder += "/wenqu/remote/" + percent_encode(url.authority() + url.path);
  }
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) return Status(StatusCode::io_error, "cannot make a folder here: " + error.message(), folder);
  return folder;
}

// A bar on standard error, where that is a terminal.
class ProgressBar {
 public:
  explicit ProgressBar(uint64_t total) : total_(total), shown_(::isatty(STDERR_FILENO) == 1) {}

  void show(uint64_t done, uint64_t documents) {
    if (!shown_) return;
    const auto now = std::chrono::steady_clock::now();
    if (now - last_ < std::chrono::milliseconds(100)) return;
    last_ = now;
    const double share = total_ ? std::min(1.0, static_cast<double>(done) / static_cast<double>(total_)) : 0;
    const int filled = static_cast<int>(share * 30);
    std::fprintf(stderr, "\r[%s%s] %3.0f%%  %llu documents ", std::string(filled, '#').c_str(),
                 std::string(30 - filled, '.').c_str(), share * 100, static_cast<unsigned long long>(documents));
    std::fflush(stderr);
  }
  void clear() {
    if (shown_) std::fputs("\r\033[K", stderr);
  }

 private:
  uint64_t total_;
  bool shown_;
  std::chrono::steady_clock::time_point last_{};
};

void print_problem(const Status& problem, bool json) {
  if (!json) {
    std::fprintf(stderr, "wenqu: passed over: %s\n", problem.to_string().c_str());
    return;
  }
  rapidjson::StringBuffer buffer;
  rapidjson::Writer<rapidjson::StringBuffer> writer(buffer);
  writer.StartObject();
  writer.Key("problem");
  writer.String(problem.message().c_str());
  writer.Key("where");
  writer.String(problem.where().c_str());
  writer.EndObject();
  std::printf("%s\n", buffer.GetString());
}

// Syncs folders, adds files, and tells about it.
class Indexing {
 public:
  Indexing(const IndexOptions& options, retrieval::Source source, retrieval::Index& index, const std::string& state, uint64_t total_bytes)
      : options_(options), bar_(total_bytes), sync_(index, state, sync_options(options, source), sink()) {}

  // What cannot be read at all is one more problem, not the end of the others.
  Status read(const std::string& path, const CancelToken& cancel) {
    std::error_code error;
    const Status status = std::filesystem::is_directory(path, error) ? sync_.sync(path, cancel) : sync_.add_file(path, cancel);
    const bool of_path = status.code() == StatusCode::not_found || (status.code() == StatusCode::io_error && status.where() == path);
    if (!of_path) return status;
    tell(status);
    return {};
  }

  void tell(const Status& problem) {
    bar_.clear();
    print_problem(problem, options_.json);
    ++problems_;
  }

  // So is an id that is not there.
  Status remove(const std::string& id) {
    const Status status = sync_.remove_document(id);
    if (status.code() != StatusCode::not_found) return status;
    tell(status);
    return {};
  }
  Status commit() { return sync_.commit(); }
  void finish() { bar_.clear(); }
  uint64_t committed() const { return committed_; }
  uint64_t problems() const { return problems_; }
  const retrieval::SyncCounts& counts() const { return sync_.counts(); }
  const std::set<std::string>& folders() const { return sync_.folders(); }

 private:
  static retrieval::SyncOptions sync_options(const IndexOptions& options, retrieval::Source source) {
    retrieval::SyncOptions sync;
    sync.read.source = source;
    sync.read_all = options.full;
    sync.commit_every = options.commit_every;
    sync.follows = options.watch;
    if (options.near_duplicates == "mark") sync.duplicates = retrieval::DuplicatePolicy::mark;
    if (options.near_duplicates == "drop") sync.duplicates = retrieval::DuplicatePolicy::drop;
    return sync;
  }

  retrieval::SyncSink sink() {
    retrieval::SyncSink sink;
    sink.problem = [this](const Status& problem) { tell(problem); };
    sink.progress = [this](const retrieval::SyncCounts& counts) { bar_.show(counts.bytes, counts.documents); };
    sink.committed = [this](const retrieval::SyncCounts& counts) {
      committed_ = counts.documents;
      if (!options_.json) return;
      std::printf("{\"committed\": %llu}\n", static_cast<unsigned long long>(committed_));
      std::fflush(stdout);
    };
    return sink;
  }

  const IndexOptions& options_;
  ProgressBar bar_;
  uint64_t committed_ = 0;
  uint64_t problems_ = 0;
  retrieval::FolderSync sync_;
};

// Syncs again whenever something has changed, until Ctrl-C.
Status watch(Indexing& indexing, const IndexOptions& options, const CancelToken& cancel) {
  WENQU_ASSIGN_OR_RETURN(retrieval::FolderWatch watch, retrieval::FolderWatch::create());
  if (!options.json) std::fputs("watching for changes; Ctrl-C ends it\n", stderr);
  for (bool all_watched = false;;) {
    std::set<std::string> folders = indexing.folders();
    for (const std::string& path : options.paths)
      if (std::error_code error; !std::filesystem::is_regular_file(path, error)) folders.insert(path);
    if (const Status limited = watch.watch(folders); !limited) indexing.tell(limited);
    // A folder that was not watched when it was last looked at may have changed in between.
    if (all_watched) WENQU_RETURN_IF_ERROR(watch.wait(cancel));
    const retrieval::SyncCounts before = indexing.counts();
    for (const std::string& path : options.paths) {
      std::error_code error;
      if (std::filesystem::is_directory(path, error)) WENQU_RETURN_IF_ERROR(indexing.read(path, cancel));
    }
    const std::set<std::string>& found = indexing.folders();
    all_watched = std::includes(folders.begin(), folders.end(), found.begin(), found.end());
    const retrieval::SyncCounts& now = indexing.counts();
    if (now.documents == before.documents && now.removed == before.removed) continue;
    WENQU_RETURN_IF_ERROR(indexing.commit());
    indexing.finish();
    if (!options.json)
      std::printf("%llu documents added, %llu removed\n", static_cast<unsigned long long>(now.documents - before.documents),
                  static_cast<unsigned long long>(now.removed - before.removed));
    std::fflush(stdout);
  }
}

}  // namespace

int run_index(const IndexOptions& options) {
  const auto source = retrieval::parse_source(options.source);
  if (!source)
    return report(Status(StatusCode::invalid_argument, "must be one of official_account, video, web, chat, file", "--source"));
  if (options.paths.empty() && options.remove.empty() && !options.optimize && options.models.embed.empty() && !options.vocabulary.any())
    return report(Status(StatusCode::invalid_argument, "nothing to do: name files or folders to add, --remove an id, teach it --words, --synonyms or --pinyin, or --optimize", "PATH"));
  // Told before, and not after hours of work.
  if (options.optimize && looks_like_url(options.index))
    return report(Status(StatusCode::invalid_argument, "a cluster merges its segments by itself (or by POST _forcemerge): leave it out", "--optimize"));
  const auto begun = std::chrono::steady_clock::now();
  Interrupt interrupt;
  Result<retrieval::IndexModels> models = load_search_models(options.models, options.threads);
  if (!models) return report(models.status());
  models->embed_again = options.embed_again;
  const Result<retrieval::VocabularyChange> vocabulary = load_vocabulary(options.vocabulary);
  if (!vocabulary) return report(vocabulary.status());
  Result<std::unique_ptr<retrieval::Index>> index =
      retrieval::Index::open(options.index, retrieval::Index::Mode::write, {.models = *models, .remote = remote_options(options.remote), .vocabulary = *vocabulary});
  if (!index) return report(index.status());

  const Result<std::string> state = state_folder(options);
  if (!state) return report(state.status());
  uint64_t total_bytes = 0;
  for (const std::string& path : options.paths) total_bytes += bytes_under(path);
  Indexing indexing(options, *source, **index, *state, total_bytes);
  for (const std::string& id : std::set(options.remove.begin(), options.remove.end()))
    if (const Status removed = indexing.remove(id); !removed) return report(removed);
  Status status;
  for (const std::string& path : options.paths) {
    status = indexing.read(path, interrupt.token());
    if (!status) break;
  }
  indexing.finish();
  // What was read before a failure or Ctrl-C is kept.
  if (status.is_ok() || status.code() == StatusCode::cancelled) {
    const Status committed = indexing.commit();
    if (!committed) status = committed;
  }
  if (options.watch && status) {
    status = watch(indexing, options, interrupt.token());
    if (status.code() == StatusCode::cancelled) status = indexing.commit();   // the end that was asked for
  }
  if (status && options.optimize) status = (*index)->optimize(interrupt.token());
  const retrieval::IndexStats stats = (*index)->stats();
  const retrieval::SyncCounts& counts = indexing.counts();
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
  if (options.json)
    fmt::print("{{\"done\": {}, \"documents\": {}, \"problems\": {}, \"unchanged_files\": {}, \"removed\": {}, \"near_duplicates\": {}, "
               "\"total_documents\": {}, \"total_passages\": {}, \"vectors\": {}, \"seconds\": {:.3f}}}\n",
               status.is_ok(), indexing.committed(), indexing.problems(), counts.unchanged, counts.removed, counts.duplicates,
               stats.documents, stats.passages, stats.vectors, seconds);
  else
    fmt::print("{} documents added in {:.2f} s{}{}{}, {} passed over; the index holds {} documents, {} passages{}\n",
               indexing.committed(), seconds, counts.unchanged ? fmt::format(", {} files unchanged", counts.unchanged) : "",
               counts.removed ? fmt::format(", {} documents removed", counts.removed) : "",
               counts.duplicates ? fmt::format(", {} near-duplicates {}", counts.duplicates, options.near_duplicates == "drop" ? "left out" : "marked") : "",
               indexing.problems(), stats.documents, stats.passages,
               stats.bytes ? fmt::format(", {:.1f} MiB", static_cast<double>(stats.bytes) / (1 << 20)) : "");
  if (!status) return report(status);
  return indexing.problems() ? kExitPartial : kExitOk;
}

}  // namespace wenqu::cli
