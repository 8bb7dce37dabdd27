#include "engine/gguf/writer.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>

#include "engine/gguf/file.h"
#include "tests/support/gguf_writer.h"

namespace wenqu::engine::gguf {
namespace {

class GgufWriterTest : public testing::Test {
 protected:
  void SetUp() override {
    path_ = testing::TempDir() + "wenqu_writer_" + std::to_string(::getpid()) + "_" +
            testing::UnitTest::GetInstance()->current_test_info()->name();
  }
  void TearDown() override { std::filesystem::remove(path_), std::filesystem::remove(path_ + ".in"); }

  static std::vector<std::byte> bytes(size_t count) {
    std::vector<std::byte> out(count);
    for (size_t i = 0; i < count; ++i) out[i] = static_cast<std::byte>(i * 31 + 7);
    return out;
  }

  std::string path_;
};

TEST_F(GgufWriterTest, WhatIsWrittenInPiecesIsReadBack) {
  Writer writer;
  writer.set_string("general.architecture", "llama");
  writer.set_uint("a", 7);
  writer.set_float("b", 0.5f);
  writer.set_bool("c", true);
  writer.set_strings("d", std::vector<std::string>{"x", "", "问渠"});
  writer.set_ints("e", std::vector<int32_t>{-1, 2});
  writer.set_uint("a", 8);   // the later value counts, the key stays in its place
  const uint64_t one[] = {5}, two[] = {32, 3};
  ASSERT_TRUE(writer.add_tensor("one", Type::f32, one));
  ASSERT_TRUE(writer.add_tensor("two", Type::q8_0, two));
  const std::vector<std::byte> first = bytes(20), second = bytes(102);
  ASSERT_TRUE(writer.open(path_));
  EXPECT_FALSE(std::filesystem::exists(path_)) << "it appears when it is whole";
  ASSERT_TRUE(writer.append("one", first));
  for (size_t i = 0; i < second.size(); i += 10)
    ASSERT_TRUE(writer.append("two", std::span(second).subspan(i, std::min<size_t>(10, second.size() - i))));
  ASSERT_TRUE(writer.finish());

  const auto file = *File::open(path_);
  EXPECT_EQ(file->get_uint("a"), 8u);
  EXPECT_EQ(file->get_float("b"), 0.5);
  EXPECT_EQ(file->get_bool("c"), true);
  EXPECT_EQ(file->get_strings("d"), (std::vector<std::string_view>{"x", "", "问渠"}));
  EXPECT_EQ(file->get_ints("e"), (std::vector<int64_t>{-1, 2}));
  EXPECT_EQ(file->keys()[1], "a");
  EXPECT_EQ(std::memcmp(file->tensor("one")->data, first.data(), first.size()), 0);
  EXPECT_EQ(std::memcmp(file->tensor("two")->data, second.data(), second.size()), 0);
}

TEST_F(GgufWriterTest, ValuesOfEveryKindAreCopiedByteForByte) {
  test::GgufWriter in;
  in.set_u64("u64", 1ull << 40);
  in.set_f32s("floats", {1.5f, -2});
  in.set_strings("texts", {"a", "bc"});
  in.set_i32("i", -3);
  in.write(path_ + ".in");
  const auto source = *File::open(path_ + ".in");
  Writer writer;
  for (std::string_view key : source->keys()) writer.set_raw(key, source->raw_value(key));
  ASSERT_TRUE(writer.open(path_));
  ASSERT_TRUE(writer.finish());
  EXPECT_EQ((*File::open(path_))->describe(), source->describe());
  EXPECT_EQ(source->keys().size(), 4u);
  EXPECT_TRUE(source->raw_value("absent").empty());
}

TEST_F(GgufWriterTest, TensorsThatCannotBeAreRefused) {
  Writer writer;
  const uint64_t row[] = {33}, none[] = {32, 0}, many[] = {1, 1, 1, 1, 1}, large[] = {1ull << 62, 1ull << 62}, good[] = {32};
  EXPECT_EQ(writer.add_tensor("t", Type::q8_0, row).code(), StatusCode::invalid_argument);
  EXPECT_EQ(writer.add_tensor("t", Type::f32, none).code(), StatusCode::invalid_argument);
  EXPECT_EQ(writer.add_tensor("t", Type::f32, many).code(), StatusCode::invalid_argument);
  EXPECT_EQ(writer.add_tensor("t", Type::f32, {}).code(), StatusCode::invalid_argument);
  EXPECT_EQ(writer.add_tensor("t", Type::f32, large).where(), "tensor 't'");
  EXPECT_EQ(writer.add_tensor(std::string(65, 'x'), Type::f32, good).code(), StatusCode::invalid_argument);
  EXPECT_TRUE(writer.add_tensor("t", Type::f32, good));
  EXPECT_EQ(writer.add_tensor("t", Type::f32, good).code(), StatusCode::invalid_argument);
}

TEST_F(GgufWriterTest, BytesThatAreMissingOrTooManyAreAnErrorAndLeaveNoFile) {
  const uint64_t shape[] = {8};
  {
    Writer writer;
    ASSERT_TRUE(writer.add_tensor("a", Type::f32, shape));
    ASSERT_TRUE(writer.add_tensor("b", Type::f32, shape));
    ASSERT_TRUE(writer.open(path_));
    EXPECT_EQ(writer.append("b", bytes(32)).code(), StatusCode::internal) << "a's turn";
    EXPECT_EQ(writer.append("a", bytes(33)).code(), StatusCode::internal);
    ASSERT_TRUE(writer.append("a", bytes(32)));
    ASSERT_TRUE(writer.append("b", bytes(31)));
    const Status status = writer.finish();
    EXPECT_EQ(status.code(), StatusCode::internal);
    EXPECT_EQ(status.where(), "tensor 'b'");
  }
  EXPECT_FALSE(std::filesystem::exists(path_));
}

}  // namespace
}  // namespace wenqu::engine::gguf
