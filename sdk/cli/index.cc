#include <fmt/format.h>
#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <filesystem>

#include "retrieval/documents/reader.h"
#include "retrieval/index.h"
#include "sdk/cli/commands.h"
#include "sdk/cli/interrupt.h"

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

class Indexing {
 public:
  Indexing(const IndexOptions& options, retrieval::Index& index, uint64_t total_bytes)
      : options_(options), index_(index), bar_(total_bytes) {}

  Status read(const std::string& path, retrieval::Source source, const CancelToken& cancel) {
    retrieval::ReadOptions read;
    read.source = source;
    retrieval::ReadSink sink;
    sink.document = [this](retrieval::Document&& document) { return take(document); };
    sink.problem = [this](const Status& problem) { tell(problem); };
    sink.progress = [this](uint64_t bytes) { bar_.show(finished_bytes_ + bytes, documents_); };
    Result<retrieval::ReadCounts> counts = retrieval::read_documents(path, read, sink, cancel);
    if (!counts) return counts.status();
    finished_bytes_ += counts->bytes;
    return {};
  }

  // A path that cannot be read at all is one more problem, not the end of the others.
  void tell(const Status& problem) {
    bar_.clear();
    print_problem(problem, options_.json);
    ++problems_;
  }

  Status commit() {
    WENQU_RETURN_IF_ERROR(index_.commit());
    committed_ = documents_;
    if (options_.json) {
      std::printf("{\"committed\": %llu}\n", static_cast<unsigned long long>(committed_));
      std::fflush(stdout);
    }
    return {};
  }

  void finish() { bar_.clear(); }
  uint64_t documents() const { return documents_; }
  uint64_t committed() const { return committed_; }
  uint64_t problems() const { return problems_; }

 private:
  Status take(const retrieval::Document& document) {
    const Status added = index_.add(document);
    if (added.code() == StatusCode::invalid_argument || added.code() == StatusCode::limit_exceeded) {
      tell(added.at(document.id));
      return {};
    }
    WENQU_RETURN_IF_ERROR(added);
    ++documents_;
    if (documents_ - committed_ >= options_.commit_every) return commit();
    return {};
  }

  const IndexOptions& options_;
  retrieval::Index& index_;
  ProgressBar bar_;
  uint64_t finished_bytes_ = 0;
  uint64_t documents_ = 0;
  uint64_t committed_ = 0;
  uint64_t problems_ = 0;
};

}  // namespace

int run_index(const IndexOptions& options) {
  const auto source = retrieval::parse_source(options.source);
  if (!source)
    return report(Status(StatusCode::invalid_argument, "must be one of official_account, video, web, chat, file", "--source"));
  if (options.paths.empty() && options.remove.empty() && !options.optimize)
    return report(Status(StatusCode::invalid_argument, "nothing to do: name files or folders to add, --remove an id, or --optimize", "PATH"));
  const auto begun = std::chrono::steady_clock::now();
  Interrupt interrupt;
  Result<std::unique_ptr<retrieval::Index>> index = retrieval::Index::open(options.index, retrieval::Index::Mode::write);
  if (!index) return report(index.status());

  uint64_t total_bytes = 0;
  for (const std::string& path : options.paths) total_bytes += bytes_under(path);
  Indexing indexing(options, **index, total_bytes);
  for (const std::string& id : options.remove)
    if (const Status removed = (*index)->remove(id); !removed) return report(removed);
  Status status;
  for (const std::string& path : options.paths) {
    status = indexing.read(path, *source, interrupt.token());
    if (status.code() == StatusCode::not_found || (status.code() == StatusCode::io_error && status.where() == path)) {
      indexing.tell(status);
      status = {};
    }
    if (!status) break;
  }
  indexing.finish();
  // What was read before a failure or Ctrl-C is kept.
  if (status.is_ok() || status.code() == StatusCode::cancelled) {
    const Status committed = indexing.commit();
    if (!committed) status = committed;
  }
  if (status && options.optimize) status = (*index)->optimize(interrupt.token());
  const retrieval::IndexStats stats = (*index)->stats();
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
  if (options.json)
    std::printf("{\"done\": %s, \"documents\": %llu, \"problems\": %llu, \"total_documents\": %llu, \"total_passages\": %llu, \"seconds\": %.3f}\n",
                status.is_ok() ? "true" : "false", static_cast<unsigned long long>(indexing.committed()),
                static_cast<unsigned long long>(indexing.problems()), static_cast<unsigned long long>(stats.documents),
                static_cast<unsigned long long>(stats.passages), seconds);
  else
    std::printf("%llu documents added in %.2f s, %llu passed over; the index holds %llu documents, %llu passages, %.1f MiB\n",
                static_cast<unsigned long long>(indexing.committed()), seconds,
                static_cast<unsigned long long>(indexing.problems()), static_cast<unsigned long long>(stats.documents),
                static_cast<unsigned long long>(stats.passages), static_cast<double>(stats.bytes) / (1 << 20));
  if (!status) return report(status);
  return indexing.problems() ? kExitPartial : kExitOk;
}

}  // namespace wenqu::cli
