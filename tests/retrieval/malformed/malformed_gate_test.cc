// Damaged files of every format are read and indexed between whole ones: no crash, no hang, the whole ones found, and
// the index sound afterwards. Each format leaves a line with its figures.
//
// WENQU_GATES=long reads 10,000 of every format, WENQU_MALFORMED=FIRST-LAST only those of these numbers, and
// WENQU_SEEDS=FOLDER damages the files of a folder too.
#include <sys/resource.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>

#include "base/utf8.h"
#include "gate.h"
#include "malformed/mutate.h"
#include "retrieval/documents/reader.h"
#include "retrieval/index.h"
#include "retrieval/index_check.h"
#include "malformed/seeds.h"

namespace wenqu::retrieval {
namespace {

constexpr double kHangSeconds = 5;
constexpr size_t kBatch = 250;

// Processor time of this process and of children that ended: a machine that is busy makes no hang.
double used_seconds() {
  double sum = 0;
  for (const int who : {RUSAGE_SELF, RUSAGE_CHILDREN}) {
    rusage usage{};
    ::getrusage(who, &usage);
    for (const timeval& time : {usage.ru_utime, usage.ru_stime}) sum += static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
  }
  return sum;
}

struct Range {
  size_t first = 0, last = 0;   // half-open
};

Range cases_of(const std::string& extension) {
  if (const char* text = ::getenv("WENQU_MALFORMED")) {
    Range range;
    if (std::sscanf(text, "%zu-%zu", &range.first, &range.last) == 2) return range;
  }
  return {0, static_cast<size_t>(repetitions(extension == ".pdf" ? 100 : 1000, 10'000))};
}

class MalformedGate : public GateTest, public testing::WithParamInterface<const char*> {
 protected:
  void SetUp() override {
    GateTest::SetUp();
    extension_ = GetParam();
    seeds_ = seeds_of(extension_);
    ASSERT_FALSE(seeds_.empty());
    if (const char* folder = ::getenv("WENQU_SEEDS")) add_seeds(folder);
    files_ = root_ + "/files";
    auto index = Index::open(directory_, Index::Mode::write);
    ASSERT_TRUE(index) << index.status().to_string();
    index_ = std::move(*index);
  }

  void add_seeds(const char* folder) {
    constexpr uintmax_t kMaxBytes = 200'000;
    std::error_code error;
    std::vector<std::string> paths;
    for (const auto& entry : std::filesystem::directory_iterator(folder, error))
      if (entry.path().extension() == extension_ && entry.file_size(error) <= kMaxBytes) paths.push_back(entry.path().string());
    std::sort(paths.begin(), paths.end());
    for (const std::string& path : paths) {
      std::ifstream file(path, std::ios::binary);
      seeds_.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
    }
  }

  // Half of the archives are damaged inside, with sound packing around the damage.
  std::string damaged(size_t number) {
    Random random(number * 31 + static_cast<size_t>(extension_[1]) * 7919 + static_cast<size_t>(extension_[2]));
    if ((extension_ == ".docx" || extension_ == ".epub") && random.below(2) == 0) {
      ArchiveParts parts = extension_ == ".docx" ? docx_parts() : epub_parts();
      for (size_t left = 1 + random.below(2); left > 0; --left) {
        auto& [name, content] = parts[random.below(parts.size())];
        content = mutate(content, parts[random.below(parts.size())].second, random);
      }
      return make_archive(parts);
    }
    return mutate(seeds_[random.below(seeds_.size())], seeds_[random.below(seeds_.size())], random);
  }

  void write(const std::string& name, const std::string& bytes) {
    std::ofstream(files_ + "/" + name, std::ios::binary) << bytes;
  }

  // Reads what lies in the folder and adds it to the index; "" or what was wrong.
  std::string read_one(const std::string& name, double& slowest) {
    std::string wrong;
    ReadSink sink;
    sink.document = [&](Document&& document) -> Status {
      ++documents_;
      if (!utf8_is_valid(document.text) || !utf8_is_valid(document.title)) wrong = "a text is not UTF-8";
      // In JSON Lines the marks are the host's, and harmless wherever they stand.
      const size_t length = utf8_length(document.text);
      for (const Mark& mark : document.marks)
        if (extension_ != ".jsonl" && mark.begin > length) wrong = "a mark stands behind the text";
      const Status added = index_->add(document);
      if (added) ids_.insert(utf8_sanitize(document.id));
      return added.code() == StatusCode::invalid_argument || added.code() == StatusCode::limit_exceeded ? Status() : added;
    };
    sink.problem = [&](const Status& problem) {
      ++problems_;
      if (problem.code() == StatusCode::internal) wrong = problem.to_string();
      if (problem.code() == StatusCode::limit_exceeded) ++limits_;
    };
    double spent = 0;
    const auto read = [&] {
      const double before = used_seconds();
      auto counts = read_file(files_ + "/" + name, {}, sink, {});
      spent = used_seconds() - before;
      return counts;
    };
    auto counts = read();
    // A virtual machine that stood still counts that as used. What hangs, hangs again.
    if (spent > kHangSeconds) counts = read();
    slowest = std::max(slowest, spent);
    if (!counts) return counts.status().to_string();
    if (spent > kHangSeconds) return name + " took " + std::to_string(spent) + " s";
    return wrong;
  }

  std::string extension_, files_;
  std::vector<std::string> seeds_;
  std::unique_ptr<Index> index_;
  std::set<std::string> ids_;
  int documents_ = 0, problems_ = 0, limits_ = 0;
};

TEST_P(MalformedGate, DamagedFilesCostOneLineEachAndTheRestIsIndexed) {
  const Range cases = cases_of(extension_);
  Gate gate("malformed" + extension_);
  double slowest = 0;
  size_t whole = 0;
  for (size_t first = cases.first; first < cases.last; first += kBatch) {
    std::filesystem::create_directories(files_);
    const size_t last = std::min(first + kBatch, cases.last);
    for (size_t i = first; i < last; ++i) write(std::to_string(i) + extension_, damaged(i));
    write("whole" + std::to_string(first) + ".txt", "An undamaged spoonbill.");
    for (size_t i = first; i < last; ++i) gate.count(read_one(std::to_string(i) + extension_, slowest));
    gate.count(read_one("whole" + std::to_string(first) + ".txt", slowest));
    ++whole;
    std::filesystem::remove_all(files_);
  }
  const Status committed = index_->commit();
  ASSERT_TRUE(committed) << committed.to_string();
  EXPECT_EQ(index_->stats().documents, ids_.size());
  SearchRequest request;
  request.query = "spoonbill";
  const auto found = index_->search(request, {});
  ASSERT_TRUE(found) << found.status().to_string();
  EXPECT_GE(found->total, whole);
  index_.reset();
  const auto checked = check_index(directory_, {});
  ASSERT_TRUE(checked) << checked.status().to_string();
  EXPECT_TRUE(checked->newest.whole());
  gate.add_figure("documents", std::to_string(documents_));
  gate.add_figure("problems", std::to_string(problems_));
  gate.add_figure("past_limits", std::to_string(limits_));
  gate.add_figure("slowest_cpu_sec", std::to_string(slowest));
}

INSTANTIATE_TEST_SUITE_P(EveryFormat, MalformedGate,
                         testing::Values(".txt", ".md", ".html", ".pdf", ".docx", ".epub", ".csv", ".tsv", ".jsonl", ".eml", ".srt", ".vtt"),
                         [](const auto& format) { return std::string(format.param).substr(1); });

}  // namespace
}  // namespace wenqu::retrieval
