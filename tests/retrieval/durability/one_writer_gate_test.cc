// Gate D11: of two processes that want to write, exactly one does, and the other is told at once.
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#include <array>

#include "gate.h"
#include "story.h"

namespace wenqu::retrieval {
namespace {

// A process that opens the index for writing when told to, and holds it until it is killed.
class Contender {
 public:
  explicit Contender(const std::string& directory) {
    EXPECT_EQ(pipe(orders_.data()), 0);
    EXPECT_EQ(pipe(reports_.data()), 0);
    child_ = fork();
    if (child_ != 0) return;
    char order;
    if (read(orders_[0], &order, 1) != 1) _exit(1);
    const auto index = Index::open(directory, Index::Mode::write);
    const char told = index ? 'w' : index.status().code() == StatusCode::busy ? 'b' : 'e';
    if (::write(reports_[1], &told, 1) != 1) _exit(1);
    pause();
    _exit(1);
  }
  ~Contender() {
    end();
    for (const int end : {orders_[0], orders_[1], reports_[0], reports_[1]}) close(end);
  }
  void start() { EXPECT_EQ(::write(orders_[1], "!", 1), 1); }
  // 'w'riting, 'b'usy or another 'e'rror.
  char report() {
    char told = '?';
    EXPECT_EQ(read(reports_[0], &told, 1), 1);
    return told;
  }
  void end() {
    if (child_ <= 0) return;
    kill(child_, SIGKILL);
    waitpid(child_, nullptr, 0);
    child_ = -1;
  }

 private:
  std::array<int, 2> orders_{}, reports_{};
  pid_t child_ = -1;
};

double since(std::chrono::steady_clock::time_point begun) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
}

TEST_F(GateTest, ExactlyOneOfTwoProcessesWrites) {
  Gate gate("D11");
  double slowest_answer = 0;
  double slowest_successor = 0;
  const int wanted = repetitions(200, 5000);
  while (gate.cases() < wanted) {
    // Every other time the two meet where nothing is yet.
    if (gate.cases() % 2 == 0) std::filesystem::remove_all(directory_);
    Contender one(directory_);
    Contender two(directory_);
    auto begun = std::chrono::steady_clock::now();
    one.start();
    two.start();
    const std::string told{one.report(), two.report()};
    slowest_answer = std::max(slowest_answer, since(begun));
    std::string problem;
    if (told != "wb" && told != "bw") problem = "both were told " + told;
    // Taking the lock file away does not let anybody in. (Every fifth time, so that it is there otherwise.)
    if (gate.cases() % 5 == 1) std::filesystem::remove(directory_ + "/lock");
    if (Index::open(directory_, Index::Mode::write).status().code() != StatusCode::busy)
      problem += " a third one was not refused";
    one.end();
    two.end();
    begun = std::chrono::steady_clock::now();
    if (const auto successor = Index::open(directory_, Index::Mode::write); !successor)
      problem += " the dead writer keeps the lock: " + successor.status().to_string();
    slowest_successor = std::max(slowest_successor, since(begun));
    gate.count(problem);
  }
  gate.add_figure("loser_told_s", std::to_string(slowest_answer));
  gate.add_figure("successor_s", std::to_string(slowest_successor));
}

TEST_F(GateTest, AForkedChildNeitherBreaksNorTakesTheWritersLock) {
  auto index = Index::open(directory_, Index::Mode::write);
  ASSERT_TRUE(index);
  const Commit commit = {{"doc1", "zzbqx lantern"}};
  const pid_t child = fork();
  if (child == 0) _exit(Index::open(directory_, Index::Mode::write).status().code() == StatusCode::busy ? 0 : 1);
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  EXPECT_EQ(Index::open(directory_, Index::Mode::write).status().code(), StatusCode::busy);
  EXPECT_TRUE(write(**index, commit));
  EXPECT_EQ(compare(directory_, after({}, commit), nullptr, nullptr), "");
}

}  // namespace
}  // namespace wenqu::retrieval
