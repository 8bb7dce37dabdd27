// Gate D7: no acknowledged document is lost, and no index left unopenable, wherever its writer is killed.
#include <signal.h>
#include <sys/wait.h>

#include "gate.h"
#include "retrieval/store/file_probe.h"
#include "story.h"

namespace wenqu::retrieval {
namespace {

// A process that tells `story` to the index and says "+" after each commit it was told is done.
class Teller {
 public:
  // Is killed before file operation `deadly` (0: never).
  Teller(const std::string& directory, const std::vector<Commit>& story, int deadly) {
    int ends[2];
    EXPECT_EQ(pipe(ends), 0);
    child_ = fork();
    if (child_ == 0) tell(directory, story, deadly, ends[1]);
    close(ends[1]);
    acknowledgements_ = ends[0];
  }
  ~Teller() { close(acknowledgements_); }

  void kill_now() { kill(child_, SIGKILL); }
  // Waits for the end; gives how many commits were acknowledged.
  size_t wait() {
    size_t done = 0;
    char mark;
    while (read(acknowledgements_, &mark, 1) == 1) ++done;
    int status = 0;
    waitpid(child_, &status, 0);
    killed_ = WIFSIGNALED(status);
    EXPECT_TRUE(killed_ || WEXITSTATUS(status) == 0) << "exit " << WEXITSTATUS(status);
    return done;
  }
  bool killed() const { return killed_; }

 private:
  [[noreturn]] static void tell(const std::string& directory, const std::vector<Commit>& story, int deadly, int out) {
    int operations = 0;
    set_file_fault_for_testing([&](FileOperation, const std::string&) {
      if (++operations == deadly) kill(getpid(), SIGKILL);
      return 0;
    });
    auto index = open_to_write(directory);
    if (!index) _exit(2);
    for (const Commit& commit : story) {
      if (!write(**index, commit)) _exit(3);
      if (::write(out, "+", 1) != 1) _exit(4);
    }
    _exit(0);
  }

  pid_t child_ = -1;
  int acknowledgements_ = -1;
  bool killed_ = false;
};

class CrashGate : public GateTest {
 protected:
  // Holds the index against what a dead teller had acknowledged, and goes on from there.
  void judge(Gate& gate, const std::vector<Commit>& story, size_t done) {
    for (size_t i = 0; i < done; ++i) state_ = after(state_, story[i]);
    const State attempted = done < story.size() ? after(state_, story[done]) : state_;
    State found;
    const auto begun = std::chrono::steady_clock::now();
    gate.count(compare(directory_, state_, &attempted, &found));
    slowest_ = std::max(slowest_, std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count());
    state_ = found;
  }

  State state_;
  double slowest_ = 0;   // to open and read everything back, in seconds
};

// Each writer starts from what the one before left when it was killed, so recoveries are killed too.
TEST_F(CrashGate, NothingIsLostWhereverAWriterIsKilled) {
  Gate gate("D7-operations");
  const int wanted = repetitions(2000, 20'000);
  int deadly = 0;
  for (unsigned seed = gate_seed(1); gate.cases() < wanted; ++seed) {
    const std::vector<Commit> story = make_story(seed, 2);
    Teller teller(directory_, story, ++deadly);
    const size_t done = teller.wait();
    if (!teller.killed()) deadly = 0;   // it got through: begin with its first operation again
    judge(gate, story, done);
  }
  gate.add_figure("recovery_s", std::to_string(slowest_));
}

TEST_F(CrashGate, NothingIsLostWheneverAWriterIsKilled) {
  Gate gate("D7-random");
  const int wanted = repetitions(300, 5000);
  std::mt19937 random(gate_seed(20261125));
  for (unsigned seed = gate_seed(1); gate.cases() < wanted; ++seed) {
    const std::vector<Commit> story = make_story(seed, 500);
    Teller teller(directory_, story, 0);
    usleep(random() % 20'000);
    teller.kill_now();
    judge(gate, story, teller.wait());
  }
  gate.add_figure("recovery_s", std::to_string(slowest_));
}

}  // namespace
}  // namespace wenqu::retrieval
