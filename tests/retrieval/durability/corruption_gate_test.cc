// Gate D9: a damaged index answers as before or says that it is corrupt, and the check reports every damage.
#include <fstream>
#include <functional>

#include "gate.h"
#include "retrieval/index_check.h"
#include "story.h"

namespace wenqu::retrieval {
namespace {

std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

void write_file(const std::string& path, const std::string& content) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << content;
}

using Corruption = std::function<std::string(std::string, std::mt19937&)>;

// Each gives other bytes than it gets, or the case is drawn again.
const std::vector<std::pair<const char*, Corruption>> kCorruptions = {
    {"a bit flipped", [](std::string bytes, std::mt19937& random) {
       if (bytes.empty()) return bytes;
       char& byte = bytes[random() % bytes.size()];
       byte = static_cast<char>(byte ^ (1 << random() % 8));
       return bytes;
     }},
    {"truncated", [](std::string bytes, std::mt19937& random) {
       bytes.resize(bytes.empty() ? 0 : random() % bytes.size());
       return bytes;
     }},
    {"a block zeroed", [](std::string bytes, std::mt19937& random) {
       const size_t begin = bytes.empty() ? 0 : random() % bytes.size();
       const size_t size = std::min<size_t>(512, bytes.size() - begin);
       return bytes.replace(begin, size, size, '\0');
     }},
    {"a block twice", [](std::string bytes, std::mt19937& random) {
       const size_t begin = bytes.empty() ? 0 : random() % bytes.size();
       const std::string block = bytes.substr(begin, 512);
       return bytes.insert(begin, block);
     }},
    {"longer", [](std::string bytes, std::mt19937& random) {
       return bytes += static_cast<char>(random());
     }},
    {"all random", [](std::string bytes, std::mt19937& random) {
       for (char& byte : bytes) byte = static_cast<char>(random());
       return bytes;
     }},
};

TEST_F(GateTest, EveryDamageIsReportedAndNoneBelieved) {
  State state;
  {
    auto index = open_to_write(directory_);
    ASSERT_TRUE(index);
    for (const Commit& commit : make_story(gate_seed(11), 13)) {
      ASSERT_TRUE(write(**index, commit));
      state = after(state, commit);
    }
  }
  std::vector<std::string> files = {directory_ + "/manifest", directory_ + "/manifest.prev"};
  const auto whole = check_index(directory_, CancelToken());
  ASSERT_TRUE(whole && whole->newest.whole() && whole->can_go_back());
  for (const auto& entry : std::filesystem::directory_iterator(directory_ + "/lucene"))
    if (entry.path().filename() != "segments.gen") files.push_back(entry.path().string());  // a hint of nobody's

  Gate gate("D9");
  std::mt19937 random(gate_seed(9));
  int refused = 0;
  const int wanted = repetitions(2000, 50'000);
  for (int i = 0; gate.cases() < wanted; ++i) {
    const std::string& path = files[static_cast<size_t>(i) % files.size()];
    const auto& [name, damage] = kCorruptions[static_cast<size_t>(i) / files.size() % kCorruptions.size()];
    const std::string before = read_file(path);
    const std::string damaged = damage(before, random);
    if (damaged == before) continue;
    write_file(path, damaged);
    std::string problem;
    const auto found = stored(directory_);
    if (found ? *found != state : found.status().code() != StatusCode::corrupt)
      problem = found ? "silently answers otherwise" : found.status().to_string();
    refused += !found;
    const auto check = check_index(directory_, CancelToken());
    if (!check) problem += " cannot be checked: " + check.status().to_string();
    else if (check->newest.whole() && check->previous.whole()) problem += " the check sees nothing";
    else if (check->newest.whole() != found.is_ok()) problem += " check and reader disagree";
    if (!problem.empty()) problem += " (" + path + ", " + name + ")";
    gate.count(problem);
    write_file(path, before);
  }
  gate.add_figure("refused", std::to_string(refused));
  EXPECT_EQ(compare(directory_, state, nullptr, nullptr), "");
}

}  // namespace
}  // namespace wenqu::retrieval
