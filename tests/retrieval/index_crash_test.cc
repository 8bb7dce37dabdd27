// What happens to an index when its writer dies or its disk fails, at every point where it can.
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <fstream>
#include <map>
#include <random>
#include <thread>

#include "index_fixture.h"
#include "retrieval/index_check.h"
#include "retrieval/store/file_probe.h"
#include "retrieval/store/manifest.h"
#include "tests/support/rounds.h"

namespace wenqu::retrieval {
namespace {

// Without threads of its own, so that the operations that are counted are those of the calls.
Result<std::unique_ptr<Index>> open_alone(const std::string& directory) {
  IndexOptions options;
  options.own_threads = false;
  return Index::open(directory, Index::Mode::write, options);
}

using State = std::map<std::string, std::string>;  // id -> text

struct Change {
  std::string id;
  std::string text;  // empty: remove
};

// Three commits: additions, then replacement and removal, then both.
const std::vector<std::vector<Change>> kStory = {
    {{"a", "alpha one"}, {"b", "beta one"}, {"c", "gamma one"}},
    {{"a", "alpha two"}, {"b", ""}},
    {{"d", "delta three"}, {"c", ""}, {"a", "alpha three"}},
};

void play(const std::vector<Change>& changes, State& state) {
  for (const Change& change : changes) {
    if (change.text.empty())
      state.erase(change.id);
    else
      state[change.id] = change.text;
  }
}

Status write(Index& index, const std::vector<Change>& changes) {
  for (const Change& change : changes) {
    WENQU_RETURN_IF_ERROR(change.text.empty() ? index.remove(change.id)
                                              : index.add(make_document(change.id, change.text)));
  }
  return index.commit();
}

class IndexCrashTest : public IndexTest {
 protected:
  void TearDown() override {
    set_file_fault_for_testing(nullptr);
    IndexTest::TearDown();
  }

  // What the index holds; empty when nothing was ever committed.
  State stored() {
    State state;
    auto index = Index::open(directory_, Index::Mode::read);
    if (!index) {
      EXPECT_EQ(index.status().code(), StatusCode::not_found) << index.status().to_string();
      return state;
    }
    for (const char* id : {"a", "b", "c", "d"}) {
      const auto document = (*index)->fetch(id);
      if (document) {
        state[id] = document->text;
        const auto word = document->text.substr(0, document->text.find(' '));
        EXPECT_EQ(ids(find(**index, word)), std::vector<std::string>{id});
      } else {
        EXPECT_EQ(document.status().code(), StatusCode::not_found);
      }
    }
    EXPECT_EQ((*index)->stats().documents, state.size());
    return state;
  }

  void start_afresh() { std::filesystem::remove_all(directory_); }

  // How many file operations the story takes.
  int count_operations() {
    int operations = 0;
    set_file_fault_for_testing([&](FileOperation, const std::string&) { return ++operations, 0; });
    auto index = *open_alone(directory_);
    for (const auto& changes : kStory) EXPECT_OK(write(*index, changes));
    set_file_fault_for_testing(nullptr);
    return operations;
  }
};

// A child tells the story and is killed at file operation `deadly`; gives how many commits it had
// been told were done.
size_t tell_and_die(const std::string& directory, const std::vector<std::vector<Change>>& story, int deadly) {
  int ends[2];
  EXPECT_EQ(pipe(ends), 0);
  const pid_t child = fork();
  if (child == 0) {
    int operations = 0;
    set_file_fault_for_testing([&](FileOperation, const std::string&) {
      if (++operations == deadly) kill(getpid(), SIGKILL);
      return 0;
    });
    auto index = open_alone(directory);
    if (!index) _exit(2);
    for (const auto& changes : story) {
      if (!write(**index, changes)) _exit(3);
      if (::write(ends[1], "+", 1) != 1) _exit(4);
    }
    _exit(0);
  }
  close(ends[1]);
  size_t done = 0;
  char mark;
  while (read(ends[0], &mark, 1) == 1) ++done;
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFSIGNALED(status) || WEXITSTATUS(status) == 0) << "exit " << WEXITSTATUS(status);
  return done;
}

TEST_F(IndexCrashTest, NoAcknowledgedCommitIsLostWhereverTheWriterIsKilled) {
  const int operations = count_operations();
  ASSERT_GT(operations, 20);
  for (int deadly = 1; deadly <= operations; deadly += test::kThinned) {
    SCOPED_TRACE("killed at operation " + std::to_string(deadly));
    start_afresh();
    const size_t done = tell_and_die(directory_, kStory, deadly);
    State acknowledged;
    for (size_t i = 0; i < done; ++i) play(kStory[i], acknowledged);
    State attempted = acknowledged;
    if (done < kStory.size()) play(kStory[done], attempted);
    const State found = stored();
    EXPECT_TRUE(found == acknowledged || found == attempted);
    // The dead writer's lock is gone, and the next one goes on from there.
    auto index = *open_alone(directory_);
    EXPECT_OK(write(*index, {{"d", "delta again"}}));
    State expected = found;
    expected["d"] = "delta again";
    EXPECT_EQ(stored(), expected);
  }
}

TEST_F(IndexCrashTest, ManyKillsInARowLoseNothingEvenWhileSegmentsMerge) {
  std::mt19937 random(20260101);
  State acknowledged;
  int next = 0;
  for (int round = 0; round < 30; ++round) {
    SCOPED_TRACE("round " + std::to_string(round));
    std::vector<std::vector<Change>> story;
    for (int i = 0; i < 12; ++i)
      story.push_back({{"doc" + std::to_string(next + i), "lantern number " + std::to_string(next + i)}});
    const size_t done = tell_and_die(directory_, story, static_cast<int>(random() % 1500) + 1);
    for (size_t i = 0; i < done; ++i) play(story[i], acknowledged);
    next += 12;
    auto index = Index::open(directory_, Index::Mode::read);
    if (!index) {
      ASSERT_EQ(index.status().code(), StatusCode::not_found) << index.status().to_string();
      ASSERT_TRUE(acknowledged.empty());
      continue;
    }
    for (const auto& [id, text] : acknowledged) {
      const auto document = (*index)->fetch(id);
      ASSERT_TRUE(document) << id << ": " << document.status().to_string();
      ASSERT_EQ(document->text, text);
    }
    ASSERT_GE((*index)->stats().documents, acknowledged.size());
    ASSERT_LE((*index)->stats().documents, acknowledged.size() + static_cast<size_t>(round) + 1);
  }
  EXPECT_GT(acknowledged.size(), 60u);
}

class IndexFaultTest : public IndexCrashTest, public testing::WithParamInterface<std::pair<int, bool>> {};

TEST_P(IndexFaultTest, NoCommitReportedDoneIsLostWhereverTheDiskFails) {
  const int error = GetParam().first;
  const bool for_ever = GetParam().second;
  const int operations = count_operations();
  for (int failing = 1; failing <= operations; failing += test::kThinned) {
    SCOPED_TRACE("failed at operation " + std::to_string(failing));
    start_afresh();
    std::atomic<int> operation = 0;
    const auto writer = std::this_thread::get_id();
    std::atomic<bool> harmless = true;  // what failed can be left undone, or was done again
    set_file_fault_for_testing([&](FileOperation kind, const std::string&) {
      ++operation;
      if (operation != failing && !(for_ever && operation > failing)) return 0;
      harmless = harmless && (kind == FileOperation::remove || kind == FileOperation::list ||
                              kind == FileOperation::open || kind == FileOperation::read ||
                              kind == FileOperation::make_directory || kind == FileOperation::lock ||
                              std::this_thread::get_id() != writer);  // a merge, which is tried again
      return error;
    });
    State acknowledged;
    State attempted;
    bool failed = false;
    {
      auto index = open_alone(directory_);
      failed = !index;
      for (size_t i = 0; index && i < kStory.size(); ++i) {
        attempted = acknowledged;
        play(kStory[i], attempted);
        Status status = write(**index, kStory[i]);
        if (!status) {
          failed = true;
          // It may have been in the middle of them.
          if (!for_ever) status = write(**index, kStory[i]);
        }
        failed = failed || !(*index)->upkeep_status();   // a merge after the commit, which lacks nothing for it
        if (status)
          acknowledged = attempted;
        else
          EXPECT_TRUE(for_ever) << status.to_string();
        if (for_ever && !status) break;
      }
    }
    set_file_fault_for_testing(nullptr);
    EXPECT_TRUE(failed || harmless);
    const State found = stored();
    if (for_ever)  // the disk may have failed on the way back from the last step
      EXPECT_TRUE(found == acknowledged || found == attempted);
    else
      EXPECT_EQ(found, acknowledged);
    auto index = *open_alone(directory_);
    EXPECT_OK(write(*index, {{"d", "delta again"}}));
    EXPECT_EQ(stored().at("d"), "delta again");
  }
}

INSTANTIATE_TEST_SUITE_P(Errors, IndexFaultTest,
                         testing::Values(std::pair(ENOSPC, false), std::pair(ENOSPC, true),
                                         std::pair(EIO, false), std::pair(EMFILE, true)));

TEST_F(IndexCrashTest, InterruptedCallsAreRepeated) {
  bool interrupt = false;
  int interrupted = 0;
  set_file_fault_for_testing([&](FileOperation operation, const std::string&) {
    if (operation != FileOperation::write && operation != FileOperation::sync &&
        operation != FileOperation::sync_directory)
      return 0;
    interrupt = !interrupt;
    interrupted += interrupt;
    return interrupt ? EINTR : 0;
  });
  {
    auto index = *open_alone(directory_);
    for (const auto& changes : kStory) EXPECT_OK(write(*index, changes));
  }
  EXPECT_GT(interrupted, 10);
  EXPECT_EQ(stored().size(), 2u);
}

TEST_F(IndexCrashTest, AnAddThatFailsLosesItsDocumentAlone) {
  IndexOptions options;
  options.own_threads = false;
  options.buffer_bytes = 1;   // each document is written before the next one
  auto index = *Index::open(directory_, Index::Mode::write, options);
  EXPECT_OK(write(*index, {{"a", "alpha"}}));
  EXPECT_OK(index->add(make_document("b", "beta")));
  set_file_fault_for_testing([](FileOperation operation, const std::string&) { return operation == FileOperation::create ? ENOSPC : 0; });
  EXPECT_EQ(index->add(make_document("c", "gamma")).code(), StatusCode::io_error);
  EXPECT_EQ(index->add(make_document("a", "alpha again")).code(), StatusCode::io_error);
  set_file_fault_for_testing(nullptr);
  EXPECT_OK(index->add(make_document("d", "delta")));
  EXPECT_OK(index->commit());
  EXPECT_EQ(stored(), (State{{"a", "alpha"}, {"b", "beta"}, {"d", "delta"}}));
}

TEST_F(IndexCrashTest, AFullDiskIsNotWrittenToAgainForEachDocument) {
  IndexOptions options;
  options.own_threads = false;
  options.buffer_bytes = 1;
  auto index = *Index::open(directory_, Index::Mode::write, options);
  EXPECT_OK(index->add(make_document("a", "alpha")));
  int attempts = 0;
  set_file_fault_for_testing([&](FileOperation operation, const std::string&) {
    attempts += operation == FileOperation::create;
    return operation == FileOperation::create || operation == FileOperation::space ? ENOSPC : 0;
  });
  for (int i = 0; i < 5; ++i) {
    const Status refused = index->add(make_document("b", "beta"));
    EXPECT_EQ(refused.code(), StatusCode::io_error);
    EXPECT_NE(refused.message().find("No space left"), std::string::npos) << refused.to_string();
  }
  EXPECT_EQ(attempts, 1);
  EXPECT_FALSE(index->commit());
  EXPECT_EQ(attempts, 2) << "who commits wants it tried";
  set_file_fault_for_testing(nullptr);
  EXPECT_OK(index->add(make_document("b", "beta")));
  EXPECT_OK(index->commit());
  EXPECT_EQ(stored(), (State{{"a", "alpha"}, {"b", "beta"}}));
}

TEST_F(IndexCrashTest, WhatACommitThatFailedDidNotCommitIsCommittedByTheNextOne) {
  for (const FileOperation failing : {FileOperation::create, FileOperation::open, FileOperation::read, FileOperation::write,
                                      FileOperation::sync, FileOperation::rename, FileOperation::sync_directory}) {
    for (const bool once : {false, true}) {
      SCOPED_TRACE(std::to_string(static_cast<int>(failing)) + (once ? " once" : ""));
      start_afresh();
      auto index = *open_alone(directory_);
      EXPECT_OK(write(*index, kStory[0]));
      EXPECT_OK(index->add(make_document("a", "alpha two")));
      EXPECT_OK(index->remove("b"));
      int failures = 0;
      set_file_fault_for_testing([&](FileOperation operation, const std::string&) {
        if (operation != failing || (once && failures > 0)) return 0;
        ++failures;
        return EMFILE;
      });
      const Status refused = index->commit();
      set_file_fault_for_testing(nullptr);
      EXPECT_EQ(refused.code(), StatusCode::io_error);
      EXPECT_NE(refused.message().find("is kept"), std::string::npos) << refused.to_string();
      EXPECT_EQ(stored(), (State{{"a", "alpha one"}, {"b", "beta one"}, {"c", "gamma one"}}));
      EXPECT_OK(index->add(make_document("d", "delta")));
      EXPECT_OK(index->commit());
      EXPECT_EQ(stored(), (State{{"a", "alpha two"}, {"c", "gamma one"}, {"d", "delta"}}));
      EXPECT_TRUE(check_index(directory_, CancelToken())->newest.whole());
    }
  }
}

// The system may take for written what it could not write, and say so the second time.
TEST_F(IndexCrashTest, AFileWhoseSynchronisationFailedIsWrittenAgain) {
  auto index = *open_alone(directory_);
  EXPECT_OK(write(*index, kStory[0]));
  EXPECT_OK(index->add(make_document("d", "delta")));
  std::string refused;
  set_file_fault_for_testing([&](FileOperation operation, const std::string& path) {
    if (operation != FileOperation::sync || !refused.empty()) return 0;
    refused = path;
    return EIO;
  });
  EXPECT_FALSE(index->commit());
  set_file_fault_for_testing(nullptr);
  std::vector<FileOperation> seen;
  set_file_observer_for_testing([&](const FileEvent& event) {
    if (event.path == refused) seen.push_back(event.operation);
  });
  EXPECT_OK(index->commit());
  set_file_observer_for_testing(nullptr);
  EXPECT_EQ(seen, (std::vector<FileOperation>{FileOperation::write, FileOperation::sync}));
}

TEST_F(IndexCrashTest, WhatAPowerCutMayBringBackStaysWhole) {
  auto index = *open_alone(directory_);
  EXPECT_OK(write(*index, kStory[0]));
  EXPECT_OK(index->add(make_document("d", "delta")));
  std::string replaced;   // the manifest that could not be made to last
  set_file_fault_for_testing([&](FileOperation operation, const std::string& path) {
    if (operation != FileOperation::sync_directory || path != directory_) return 0;
    std::ifstream in(IndexPaths(directory_).manifest, std::ios::binary);
    replaced.assign(std::istreambuf_iterator<char>(in), {});
    return EIO;
  });
  EXPECT_FALSE(index->commit());
  set_file_fault_for_testing(nullptr);
  const auto manifest = parse_manifest(replaced);
  ASSERT_TRUE(manifest) << manifest.status().to_string();
  EXPECT_EQ(manifest->commit, 2u);
  const auto whole = [&] {
    return std::all_of(manifest->files.begin(), manifest->files.end(), [&](const ManifestFile& entry) {
      const auto file = File::open(IndexPaths(directory_).lucene + "/" + entry.name);
      return file && verify_file(*file, entry);
    });
  };
  EXPECT_TRUE(whole());
  EXPECT_OK(index->add(make_document("d", "delta again")));
  EXPECT_OK(index->make_visible());
  EXPECT_TRUE(whole());
  index.reset();
  EXPECT_TRUE(whole());
}

TEST_F(IndexCrashTest, ALossIsToldByEveryCallUntilTheIndexIsOpenedAgain) {
  auto index = *open_alone(directory_);
  EXPECT_OK(write(*index, kStory[0]));
  EXPECT_OK(index->add(make_document("d", "delta")));
  EXPECT_OK(index->remove("b"));
  bool changed = false;
  set_file_fault_for_testing([&](FileOperation operation, const std::string& path) {
    if (operation != FileOperation::sync || changed || !path.ends_with(".cfs")) return 0;
    changed = true;
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(40);
    const char byte = static_cast<char>(file.get() ^ 1);
    file.seekp(40);
    file.put(byte);
    return 0;
  });
  const Status lost = index->commit();
  set_file_fault_for_testing(nullptr);
  EXPECT_TRUE(changed);
  EXPECT_EQ(lost.code(), StatusCode::corrupt);
  EXPECT_NE(lost.message().find("2 documents added or removed since commit 1 were dropped"), std::string::npos) << lost.to_string();
  for (int round = 0; round < 2; ++round)
    for (const Status& told : {index->commit(), index->add(make_document("a", "alpha two")), index->remove("c"), index->make_visible()}) {
      EXPECT_EQ(told.code(), StatusCode::corrupt);
      EXPECT_EQ(told.message(), lost.message());
    }
  EXPECT_EQ(ids(find(*index, "beta")), std::vector<std::string>{"b"});
  index.reset();
  index = *open_alone(directory_);
  EXPECT_OK(write(*index, {{"d", "delta"}, {"b", ""}}));
  EXPECT_EQ(stored(), (State{{"a", "alpha one"}, {"c", "gamma one"}, {"d", "delta"}}));
}

TEST_F(IndexCrashTest, ReadersKeepWorkingThroughAFailedCommit) {
  auto writer = *open_alone(directory_);
  EXPECT_OK(write(*writer, kStory[0]));
  auto reader = open(Index::Mode::read);
  for (const FileOperation failing : {FileOperation::create, FileOperation::write, FileOperation::sync,
                                      FileOperation::rename, FileOperation::sync_directory}) {
    SCOPED_TRACE(static_cast<int>(failing));
    set_file_fault_for_testing([&](FileOperation operation, const std::string&) { return operation == failing ? EIO : 0; });
    EXPECT_FALSE(write(*writer, {{"a", "alpha never"}, {"d", "delta never"}}));
    for (const Index* index : {writer.get(), reader.get()}) {
      EXPECT_EQ(ids(find(*index, "alpha")), std::vector<std::string>{"a"});
      EXPECT_EQ(index->fetch("a")->text, "alpha one");
      EXPECT_TRUE(find(*index, "delta").hits.empty());
    }
    set_file_fault_for_testing(nullptr);
    EXPECT_OK(reader->refresh());
    EXPECT_EQ(reader->fetch("a")->text, "alpha one");
  }
  EXPECT_OK(write(*writer, kStory[1]));
  EXPECT_OK(reader->refresh());
  EXPECT_EQ(reader->fetch("a")->text, "alpha two");
  EXPECT_EQ(reader->fetch("d")->text, "delta never");
}

TEST_F(IndexCrashTest, AWriterOfAnotherProcessExcludesUsUntilItDies) {
  for (int round = 0; round < 10; ++round) {
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    const pid_t child = fork();
    if (child == 0) {
      auto index = open_alone(directory_);
      if (index && ::write(ends[1], "+", 1) == 1) pause();
      _exit(1);
    }
    char mark;
    ASSERT_EQ(read(ends[0], &mark, 1), 1);
    const auto refused = open_alone(directory_);
    EXPECT_EQ(refused.status().code(), StatusCode::busy);
    EXPECT_NE(refused.status().message().find(std::to_string(child)), std::string::npos);
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    close(ends[0]);
    close(ends[1]);
    EXPECT_TRUE(open_alone(directory_));
  }
}

}  // namespace
}  // namespace wenqu::retrieval
