#include "engine/device/choose.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "engine/cuda/module.h"

namespace wenqu::test {
namespace {

using engine::device::choose_device;
using testing::HasSubstr;
namespace cuda = engine::cuda;

TEST(ChooseDevice, TheCpuIsWhereNothingIsNamed) {
  for (const char* name : {"", "cpu"}) {
    const auto chosen = choose_device(name);
    ASSERT_TRUE(chosen);
    EXPECT_TRUE(chosen->devices.empty());
    EXPECT_EQ(chosen->why, "");
  }
}

TEST(ChooseDevice, NamesThatAreNoneAreRefused) {
  for (const char* name : {"gpu", "cud", "cuda:", "cuda:x", "cuda:-1", "cuda:1x", "cuda1", "CUDA", "cuda:99999999999", "cuda:0,", "cuda:,1", "cuda:1,1", "cuda:0;1",
                           "cuda:all,0"}) {
    const auto chosen = choose_device(name);
    ASSERT_FALSE(chosen) << name;
    EXPECT_EQ(chosen.status().code(), StatusCode::invalid_argument) << name;
    EXPECT_THAT(chosen.status().to_string(), HasSubstr("cpu, cuda, cuda:NUMBER, several as cuda:0,1, cuda:all or auto"));
  }
}

TEST(ChooseDevice, WhereNoGpuCanBeUsedTheReasonIsTold) {
  if (cuda::count_devices()) GTEST_SKIP() << "there is a GPU";
  const auto wanted = choose_device("cuda");
  ASSERT_FALSE(wanted);
  for (const char* several : {"cuda:0,1", "cuda:all"}) EXPECT_EQ(choose_device(several).status().code(), StatusCode::not_found) << several;
  EXPECT_EQ(wanted.status().code(), StatusCode::not_found) << wanted.status().to_string();
  EXPECT_NE(wanted.status().message(), "");
  const auto offered = choose_device("auto");
  ASSERT_TRUE(offered);
  EXPECT_TRUE(offered->devices.empty());
  EXPECT_EQ(offered->why, wanted.status().message());
}

}  // namespace
}  // namespace wenqu::test
