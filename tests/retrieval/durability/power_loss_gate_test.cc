// Gate D10: whenever the power is cut, and whatever the disk had not yet been told to keep becomes, no
// acknowledged document is lost. Kill -9 cannot show that, for the system keeps what was written.
#include <cerrno>

#include "disk_model.h"
#include "gate.h"
#include "story.h"

namespace wenqu::retrieval {
namespace {

// Which of its own rules the index is made to break, to see that the gate notices.
enum class Plant { none, files_not_synced, directories_not_synced };

struct Moment {
  FileEvent event;
  std::string bytes;   // of a write
  State acknowledged, attempted;
};

class PowerLossGate : public GateTest {
 protected:
  void TearDown() override {
    set_file_observer_for_testing(nullptr);
    set_file_fault_for_testing(nullptr);
    GateTest::TearDown();
  }

  // Tells `story` to the index at directory_ and gives each moment of it. `acknowledged` is what is seen there,
  // `before` what anybody was told is safe: from the opening on that is the same.
  std::vector<Moment> tell(const std::vector<Commit>& story, const State& before, State& acknowledged) {
    std::vector<Moment> moments;
    State attempted = acknowledged;
    bool opened = false;
    set_file_observer_for_testing([&](const FileEvent& event) {
      moments.push_back({event, std::string(event.bytes), opened ? acknowledged : before, attempted});
    });
    auto index = open_to_write(directory_);
    EXPECT_TRUE(index) << index.status().to_string();
    opened = true;
    for (const Commit& commit : story) {
      if (!index) break;
      attempted = after(acknowledged, commit);
      // Where a fault is planned, the commit may fail; the next try makes it again.
      for (int i = 0; i < 3; ++i)
        if (write(**index, commit)) {
          acknowledged = attempted;
          break;
        }
      EXPECT_EQ(acknowledged, attempted);
    }
    set_file_observer_for_testing(nullptr);
    return moments;
  }

  static void apply(DiskModel& disk, const Moment& moment, Plant plant) {
    if (plant == Plant::files_not_synced && moment.event.operation == FileOperation::sync) return;
    if (plant == Plant::directories_not_synced && moment.event.operation == FileOperation::sync_directory) return;
    FileEvent event = moment.event;
    event.bytes = moment.bytes;
    disk.apply(event);
  }

  // Every damage at one moment: holds each state that was not met before against the acknowledgements.
  int cut_power(Gate* gate, const DiskModel& disk, const State& acknowledged, const State& attempted) {
    int lost = 0;
    for (int damage = 0; damage < kDamages; ++damage) {
      const DiskModel::Files files = disk.after_power_cut(static_cast<Damage>(damage), random_);
      std::string whole;
      for (const auto& [path, content] : files) whole += path + '\0' + content + '\0';
      for (const auto& [id, text] : acknowledged) whole += id + text;
      if (!met_.insert(std::hash<std::string>()(whole)).second) continue;
      const std::string there = root_ + "/after";
      DiskModel::put(files, root_, there);
      State found;
      std::string problem = compare(there + "/index", acknowledged, &attempted, &found);
      // Now and then somebody goes on writing.
      if (problem.empty() && met_.size() % 8 == 0) {
        auto index = open_to_write(there + "/index");
        const Commit more = {{"doc1", "zzbqx after the cut"}};
        if (!index) problem = "cannot be written again: " + index.status().to_string();
        else if (const Status status = write(**index, more); !status) problem = "cannot go on: " + status.to_string();
        else problem = compare(there + "/index", after(found, more), nullptr, nullptr);
      }
      if (gate) gate->count(problem);
      lost += !problem.empty();
    }
    return lost;
  }

  // The power is cut after every moment. Gives how many states had lost something.
  int cut_everywhere(Gate* gate, DiskModel& disk, const std::vector<Moment>& moments, Plant plant) {
    int lost = 0;
    for (const Moment& moment : moments) {
      apply(disk, moment, plant);
      lost += cut_power(gate, disk, moment.acknowledged, moment.attempted);
    }
    return lost;
  }

  std::mt19937 random_{gate_seed(10)};
  std::set<size_t> met_;
};

TEST_F(PowerLossGate, NoAcknowledgedDocumentIsLostWhenThePowerIsCut) {
  Gate gate("D10");
  const int wanted = repetitions(6000, 60'000);
  for (unsigned seed = gate_seed(1); gate.cases() < wanted; ++seed) {
    std::filesystem::remove_all(directory_);
    State state;
    DiskModel disk(root_);
    const std::vector<Moment> moments = tell(make_story(seed, 6), {}, state);
    cut_everywhere(&gate, disk, moments, Plant::none);
  }
}

// A writer is killed, another one takes over, and only then the power goes.
TEST_F(PowerLossGate, NothingIsLostWhenThePowerIsCutAfterAKill) {
  Gate gate("D10-after-kill");
  const int wanted = repetitions(6000, 60'000);
  std::mt19937 random(gate_seed(3));
  for (unsigned seed = gate_seed(1); gate.cases() < wanted; ++seed) {
    std::filesystem::remove_all(directory_);
    State state;
    const std::vector<Moment> first = tell(make_story(seed, 3), {}, state);
    DiskModel disk(root_);
    // The beginning has moments of its own, which would seldom be drawn.
    const size_t killed = seed % 2 == 1 ? seed / 2 % 12 : random() % first.size();
    for (size_t i = 0; i <= killed; ++i) apply(disk, first[i], Plant::none);
    DiskModel::put(disk.visible(), root_, root_);
    for (const std::string& directory : disk.directories()) std::filesystem::create_directories(directory);
    // What is seen has to last as soon as the next writer builds on it.
    State found;
    ASSERT_EQ(compare(directory_, first[killed].acknowledged, &first[killed].attempted, &found), "");
    state = found;
    const std::vector<Moment> second = tell(make_story(seed + 1000, 2), first[killed].acknowledged, state);
    cut_everywhere(&gate, disk, second, Plant::none);
  }
}

// The synchronisation of the directory fails once at the last step of a commit, which has to be taken back.
TEST_F(PowerLossGate, NothingIsLostWhenThePowerIsCutAfterAFailedCommit) {
  Gate gate("D10-after-failure");
  const int wanted = repetitions(6000, 60'000);
  for (unsigned seed = gate_seed(1); gate.cases() < wanted; ++seed) {
    std::filesystem::remove_all(directory_);
    int synchronised = 0;
    const int failing = 4 + static_cast<int>(seed) % 4;
    set_file_fault_for_testing([&](FileOperation operation, const std::string& path) {
      return operation == FileOperation::sync_directory && path == directory_ && ++synchronised == failing ? EIO : 0;
    });
    State state;
    DiskModel disk(root_);
    const std::vector<Moment> moments = tell(make_story(seed, 4), {}, state);
    set_file_fault_for_testing(nullptr);
    if (synchronised < failing) continue;  // a story with commits that change nothing
    cut_everywhere(&gate, disk, moments, Plant::none);
  }
}

TEST_F(PowerLossGate, ADroppedSynchronisationWouldBeNoticed) {
  for (const Plant plant : {Plant::files_not_synced, Plant::directories_not_synced}) {
    std::filesystem::remove_all(directory_);
    State state;
    DiskModel disk(root_);
    const std::vector<Moment> moments = tell(make_story(1, 2), {}, state);
    EXPECT_GT(cut_everywhere(nullptr, disk, moments, plant), 0) << static_cast<int>(plant);
  }
}

}  // namespace
}  // namespace wenqu::retrieval
