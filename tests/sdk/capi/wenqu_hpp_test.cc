#include "wenqu/wenqu.hpp"

#include <gtest/gtest.h>

#include <unistd.h>

#include <filesystem>
#include <future>
#include <string>
#include <vector>

namespace {

// An index of two notes, one of which only the harbour master may find.
class WenquHpp : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = testing::TempDir() + "wenqu_hpp_" + std::to_string(::getpid());
    std::filesystem::remove_all(directory_);
    wenqu::Index index(directory_);
    index.add_json(R"({"id":"ferry","text":"The last ferry leaves at half past nine.","acl":["master"]})");
    index.add_json(R"({"id":"tea","text":"The tea house opens at seven."})");
    index.commit();
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  wq_assistant_options options() const {
    wq_assistant_options options = WQ_ASSISTANT_OPTIONS_INIT;
    options.index_directory = directory_.c_str();
    return options;
  }

  std::string directory_;
};

wq_ask_options about_the_ferry() {
  wq_ask_options ask = WQ_ASK_OPTIONS_INIT;
  ask.question = "When does the last ferry leave?";
  return ask;
}

bool cites(wenqu::Request request, const std::string& id) {
  bool cited = false;
  while (const auto event = request.next())
    cited |= event->find("annotation.added") != std::string::npos && event->find('"' + id + '"') != std::string::npos;
  return cited;
}

int32_t keep(const char* json, size_t length, void* user) {
  static_cast<std::vector<std::string>*>(user)->emplace_back(json, length);
  return 0;
}

TEST_F(WenquHpp, AsksWithEveryOptionOfC) {
  wenqu::Assistant assistant(options());
  wq_ask_options ask = about_the_ferry();
  ask.filter_json = R"({"principals":["master"]})";
  EXPECT_TRUE(cites(assistant.ask(ask), "ferry"));
  ask.filter_json = R"({"principals":["guest"]})";
  EXPECT_FALSE(cites(assistant.ask(ask), "ferry"));
}

TEST_F(WenquHpp, ARequestIsWaitedForWhoseEventsGoToACallback) {
  wenqu::Assistant assistant(options());
  wq_ask_options ask = about_the_ferry();
  std::vector<std::string> events;
  ask.on_event = keep;
  ask.user = &events;
  wenqu::Request request = assistant.ask(ask);
  EXPECT_TRUE(request.wait());
  ASSERT_FALSE(events.empty());
  EXPECT_NE(events.back().find(R"({"type":"response.completed")"), std::string::npos) << events.back();
}

TEST_F(WenquHpp, AWaitInVainIsToldFromTheEnd) {
  wenqu::Assistant assistant(options());
  wq_ask_options ask = about_the_ferry();
  std::promise<void> let_go;
  std::shared_future<void> gate = let_go.get_future().share();
  ask.on_event = [](const char*, size_t, void* user) -> int32_t {
    static_cast<std::shared_future<void>*>(user)->wait();
    return 0;
  };
  ask.user = &gate;
  wenqu::Request request = assistant.ask(ask);
  EXPECT_FALSE(request.wait(0));
  let_go.set_value();
  EXPECT_TRUE(request.wait());
}

TEST_F(WenquHpp, OpensWithEveryOptionOfC) {
  wq_assistant_options given = options();
  given.kv_type = "f64";
  try {
    wenqu::Assistant assistant(given);
    FAIL() << "opened";
  } catch (const wenqu::Error& error) {
    EXPECT_EQ(error.status(), WQ_E_INVALID_ARGUMENT);
    EXPECT_NE(std::string(error.what()).find("kv_type"), std::string::npos) << error.what();
  }
}

TEST_F(WenquHpp, HandlesAreReached) {
  wenqu::Index index(directory_);
  uint64_t documents = 0;
  EXPECT_EQ(wq_index_count(index.get(), &documents), WQ_OK);
  EXPECT_EQ(documents, 2u);
  wenqu::Assistant assistant(options());
  EXPECT_EQ(wq_assistant_refresh(assistant.get()), WQ_OK);
  wenqu::Request request = assistant.ask("tea");
  EXPECT_EQ(wq_request_cancel(request.get()), WQ_OK);
}

TEST_F(WenquHpp, AnEstimateOfNoFileIsAnError) {
  try {
    wenqu::estimate(directory_ + "/none.gguf");
    FAIL() << "estimated";
  } catch (const wenqu::Error& error) {
    EXPECT_EQ(error.status(), WQ_E_NOT_FOUND);
  }
}

}  // namespace
