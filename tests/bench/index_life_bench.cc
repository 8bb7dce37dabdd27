// How fast searches are while an index changes, how soon what was added is found, how long commits take, and whether
// anything is found that should not be:
//   wenqu_index_life_bench DOCUMENTS.jsonl DIRECTORY [SECONDS [ADDED_A_SECOND [REMOVED_A_SECOND [SEED]]]]
// Indexes all documents but the last tenth, asks for stretches of them, first alone, then while those of the tenth are
// added and others removed. DIRECTORY is made, and has to be empty or absent. A wrong hit is one of a document that was
// removed two seconds before the search, or not added yet.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "base/utf8.h"
#include "retrieval/documents/reader.h"
#include "retrieval/index.h"

namespace {

using namespace wenqu;
using namespace wenqu::retrieval;
using Clock = std::chrono::steady_clock;

double milliseconds_since(Clock::time_point begun) {
  return std::chrono::duration<double, std::milli>(Clock::now() - begun).count();
}

void print_times(const char* what, std::vector<double> times) {
  if (times.empty()) return;
  std::sort(times.begin(), times.end());
  const auto at = [&](double share) { return times[static_cast<size_t>(share * static_cast<double>(times.size() - 1))]; };
  std::printf("%-28s n %6zu  p50 %8.3f ms  p99 %8.3f ms  max %8.3f ms\n", what, times.size(), at(0.5), at(0.99), times.back());
  std::fflush(stdout);
}

int fail(const Status& status) {
  std::fprintf(stderr, "%s\n", status.to_string().c_str());
  return 1;
}

std::string question_from(const std::vector<Document>& documents, std::mt19937& random) {
  const std::u32string text = utf8_to_utf32(documents[random() % documents.size()].text);
  if (text.size() < 20) return "问题";
  const size_t begin = random() % (text.size() - 12);
  return utf32_to_utf8(text.substr(begin, 12));
}

// What was done to the documents so far, for who asks at the same time.
class Known {
 public:
  explicit Known(size_t documents) : removed_(documents) {}
  void add(size_t number) { added_ = number + 1; }
  void remove(size_t number) { removed_[number] = now(); }
  // Whether a search that began then and is over by now may give this document: "d" or "new", and its number.
  bool may_be_found(const std::string& id, double begun) const {
    if (id.starts_with("new")) return std::strtoul(id.c_str() + 3, nullptr, 10) < added_;
    const double removed = removed_.at(std::strtoul(id.c_str() + 1, nullptr, 10));
    return removed == 0 || begun < removed + 2;
  }
  double now() const { return milliseconds_since(begun_) / 1000 + 1e-9; }

 private:
  const Clock::time_point begun_ = Clock::now();
  std::atomic<size_t> added_{0};
  std::vector<std::atomic<double>> removed_;   // when; 0: not
};

struct Failures {
  size_t failed = 0, wrong = 0;
};

// Searches for `seconds`, some forty times a second, as a user would.
std::vector<double> ask(const Index& index, const std::vector<Document>& documents, double seconds, std::mt19937& random, const Known& known,
                        Failures& failures) {
  std::vector<double> times;
  const auto begun = Clock::now();
  while (milliseconds_since(begun) < seconds * 1000) {
    SearchRequest request;
    request.query = question_from(documents, random);
    const auto start = Clock::now();
    const auto response = index.search(request, CancelToken());
    times.push_back(milliseconds_since(start));
    failures.failed += !response;
    const double began = known.now() - times.back() / 1000;
    for (size_t i = 0; response && i < response->hits.size(); ++i)
      failures.wrong += !known.may_be_found(response->hits[i].passage.document_id, began);
    std::this_thread::sleep_for(std::chrono::milliseconds(25));
  }
  return times;
}

struct Changes {
  std::vector<double> found, commits;
  size_t added = 0, removed = 0, failed = 0;
};

// Adds and removes at the rates, commits each two seconds, and sees for one document in a hundred when it is found.
Changes change(Index& index, const std::vector<Document>& spare, size_t documents, double seconds, double adds, double removals, Known& known) {
  Changes done;
  const auto begun = Clock::now();
  auto committed = begun;
  auto waiting_since = begun;
  std::string waiting;
  while (milliseconds_since(begun) < seconds * 1000) {
    const double spent = milliseconds_since(begun) / 1000;
    while (static_cast<double>(done.added) < spent * adds) {
      Document document = spare[done.added % spare.size()];
      known.add(done.added);
      document.id = "new" + std::to_string(done.added++);
      done.failed += !index.add(document);
      if (waiting.empty() && done.added % 100 == 0) {
        waiting = document.id;
        waiting_since = Clock::now();
      }
    }
    while (static_cast<double>(done.removed) < spent * removals) {
      const size_t number = done.removed++ * 7919 % documents;
      done.failed += !index.remove("d" + std::to_string(number));
      known.remove(number);
    }
    if (!waiting.empty() && index.fetch(waiting)) {
      done.found.push_back(milliseconds_since(waiting_since));
      waiting.clear();
    }
    if (milliseconds_since(committed) > 2000) {
      committed = Clock::now();
      done.failed += !index.commit();
      done.commits.push_back(milliseconds_since(committed));
      committed = Clock::now();
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(4));
  }
  return done;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: %s DOCUMENTS.jsonl DIRECTORY [SECONDS [ADDED_A_SECOND [REMOVED_A_SECOND [SEED]]]]\n", argv[0]);
    return 2;
  }
  const double seconds = argc > 3 ? std::atof(argv[3]) : 20;
  const double adds = argc > 4 ? std::atof(argv[4]) : 200;
  const double removals = argc > 5 ? std::atof(argv[5]) : 50;
  std::mt19937 random(argc > 6 ? static_cast<unsigned>(std::strtoul(argv[6], nullptr, 10)) : 7);
  std::vector<Document> documents;
  ReadSink sink;
  sink.document = [&](Document&& document) {
    document.id = "d" + std::to_string(documents.size());
    documents.push_back(std::move(document));
    return Status();
  };
  sink.problem = [](const Status&) {};
  sink.progress = [](uint64_t) {};
  if (const auto read = read_documents(argv[1], ReadOptions(), sink, CancelToken()); !read) return fail(read.status());
  std::vector<Document> spare(documents.end() - static_cast<ptrdiff_t>(documents.size() / 10), documents.end());
  documents.resize(documents.size() - spare.size());

  IndexOptions options;
  options.visible_within = std::chrono::milliseconds(1000);
  auto index = Index::open(argv[2], Index::Mode::write, options);
  if (!index) return fail(index.status());
  const auto begun = Clock::now();
  for (const Document& document : documents)
    if (const Status added = (*index)->add(document); !added) return fail(added);
  if (const Status done = (*index)->commit(); !done) return fail(done);
  std::printf("indexed %zu documents in %.1f s\n", documents.size(), milliseconds_since(begun) / 1000);
  if (const Status done = (*index)->optimize(CancelToken()); !done) return fail(done);
  std::printf("and merged after %.1f s: %llu passages\n", milliseconds_since(begun) / 1000,
              static_cast<unsigned long long>((*index)->stats().passages));

  Known known(documents.size());
  Failures failures;
  (void)ask(**index, documents, 1, random, known, failures);
  print_times("search, quiet", ask(**index, documents, seconds, random, known, failures));
  Changes changes;
  std::thread changing([&] { changes = change(**index, spare, documents.size(), seconds, adds, removals, known); });
  print_times("search, while it changes", ask(**index, documents, seconds, random, known, failures));
  changing.join();
  print_times("found after add", changes.found);
  print_times("commit", changes.commits);
  std::printf("added %zu, removed %zu, wrong hits %zu, failed calls %zu; upkeep: %s\n", changes.added, changes.removed, failures.wrong,
              failures.failed + changes.failed, (*index)->upkeep_status() ? "ok" : (*index)->upkeep_status().to_string().c_str());
  return failures.wrong + failures.failed + changes.failed == 0 ? 0 : 1;
}
