// Gate D8: whatever the disk refuses, no commit is reported done and lost.
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <cerrno>
#include <fstream>

#include "gate.h"
#include "retrieval/store/file_probe.h"
#include "story.h"

namespace wenqu::retrieval {
namespace {

class FaultGate : public GateTest {
 protected:
  void TearDown() override {
    set_file_fault_for_testing(nullptr);
    GateTest::TearDown();
  }

  // Tells `story` while the disk misbehaves, in one process, trying what failed again as often as may help.
  // Gives what was acknowledged, and in `attempted` what the last failure may have left.
  static State tell(const std::string& directory, const std::vector<Commit>& story, State state, State& attempted) {
    attempted = state;
    constexpr int kTries = 3;
    std::unique_ptr<Index> index;
    for (const Commit& commit : story) {
      for (int i = 0; i < kTries; ++i) {
        if (!index) {
          auto opened = open_to_write(directory);
          if (!opened) continue;
          index = std::move(*opened);
        }
        attempted = after(state, commit);
        if (!write(*index, commit)) continue;
        state = attempted;
        break;
      }
      if (state != attempted) break;  // what comes later builds on what is lost
    }
    return state;
  }

  // One writer on the index as the ones before left it, with operation `failing` refused.
  // Gives how many operations it asked for.
  int refuse(Gate& gate, unsigned seed, int failing, int error, bool for_ever) {
    int operation = 0;
    set_file_fault_for_testing([&](FileOperation, const std::string&) {
      ++operation;
      return operation == failing || (for_ever && operation > failing) ? error : 0;
    });
    State attempted;
    state_ = tell(directory_, make_story(seed, 2), state_, attempted);
    set_file_fault_for_testing(nullptr);
    State found;
    gate.count(compare(directory_, state_, for_ever ? &attempted : nullptr, &found));
    state_ = found;
    return operation;
  }

  State state_;
};

TEST_F(FaultGate, NoOperationThatFailsLosesWhatIsReportedDone) {
  Gate gate("D8-operations");
  const int wanted = repetitions(1200, 10'000);
  unsigned seed = gate_seed(0);
  while (gate.cases() < wanted) {
    for (const auto& [error, for_ever] : {std::pair(ENOSPC, false), std::pair(EIO, true), std::pair(EIO, false),
                                          std::pair(ENOSPC, true), std::pair(EMFILE, true)}) {
      int operations = 1;
      for (int failing = 1; failing <= operations && gate.cases() < wanted; ++failing)
        operations = refuse(gate, ++seed, failing, error, for_ever);
    }
  }
}

// The system itself cuts writes short here, and refuses the rest.
TEST_F(FaultGate, WritesCutShortLoseNothing) {
  Gate gate("D8-short-writes");
  const int wanted = repetitions(60, 1000);
  std::mt19937 random(gate_seed(7));
  for (unsigned seed = gate_seed(1); gate.cases() < wanted; ++seed) {
    const std::vector<Commit> story = make_story(seed, 3);
    const rlim_t most = 200 + random() % 3000;
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    const pid_t child = fork();
    if (child == 0) {
      signal(SIGXFSZ, SIG_IGN);
      const rlimit limit{most, most};
      if (setrlimit(RLIMIT_FSIZE, &limit) != 0) _exit(1);
      auto index = open_to_write(directory_);
      for (size_t i = 0; index && i < story.size() && write(**index, story[i]); ++i)
        if (::write(ends[1], "+", 1) != 1) _exit(2);
      _exit(0);
    }
    close(ends[1]);
    size_t done = 0;
    char mark;
    while (read(ends[0], &mark, 1) == 1) state_ = after(state_, story.at(done++));
    close(ends[0]);
    int status = 0;
    waitpid(child, &status, 0);
    std::string problem = compare(directory_, state_, nullptr, nullptr);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) problem += " the writer died";
    gate.count(problem);
  }
}

// A disk of its own, which is really full at some point: then space is made, and the writer goes on.
TEST_F(FaultGate, AFullDiskLosesNothing) {
  const std::string disk = root_ + "/disk";
  std::filesystem::create_directory(disk);
  if (::mount("tmpfs", disk.c_str(), "tmpfs", 0, "size=256k") != 0) GTEST_SKIP() << "may not mount a disk to fill";
  {
    Gate gate("D8-full-disk");
    int refused = 0;
    const int wanted = repetitions(40, 500);
    for (int i = 0; i < wanted; ++i) {
      const std::string directory = disk + "/index";
      std::filesystem::remove_all(directory);
      const std::string ballast = disk + "/ballast";
      // More space at each turn, and at first none at all.
      std::ofstream(ballast) << std::string(static_cast<size_t>(256 - 4 * (i % 40)) * 1024, 'x');
      State state;
      Commit kept;   // what the writer took of the commit that failed
      std::string problem;
      {
        auto index = open_to_write(directory);
        const std::vector<Commit> story = make_story(static_cast<unsigned>(i), 8);
        for (const Commit& commit : story) {
          if (!index) break;
          if (!write(**index, commit, &kept)) {
            ++refused;
            break;
          }
          state = after(state, commit);
          kept.clear();
        }
        if (index) problem = compare(directory, state, nullptr, nullptr);
        std::filesystem::remove(ballast);
        // The same writer goes on, with what it had taken.
        if (index && problem.empty()) {
          const Commit more = {{"doc1", "zzbqx after"}};
          if (!write(**index, more) && !write(**index, more)) problem = "space does not help";
          else problem = compare(directory, after(after(state, kept), more), nullptr, nullptr);
        }
      }
      gate.count(problem);
    }
    gate.add_figure("refused", std::to_string(refused));
    EXPECT_GT(refused, 0);
  }
  ::umount(disk.c_str());
}

}  // namespace
}  // namespace wenqu::retrieval
