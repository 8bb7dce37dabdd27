#include "engine/gguf/file.h"

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>

#include "tests/support/gguf_writer.h"

namespace wenqu::engine::gguf {
namespace {

using test::GgufWriter;

class GgufTest : public testing::Test {
 protected:
  void SetUp() override {
    path_ = testing::TempDir() + "wenqu_gguf_" + std::to_string(::getpid()) + "_" +
            testing::UnitTest::GetInstance()->current_test_info()->name();
  }
  void TearDown() override { std::filesystem::remove(path_); }

  Result<std::shared_ptr<const File>> open(const std::string& bytes) {
    std::ofstream(path_, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    return File::open(path_);
  }

  static GgufWriter small() {
    GgufWriter writer;
    writer.set_string("general.architecture", "tiny");
    writer.set_u32("tiny.count", 7);
    writer.set_f32("tiny.half", 0.5f);
    writer.set_bool("tiny.yes", true);
    writer.set_i32("tiny.minus", -3);
    writer.set_strings("tiny.words", {"a", "", "渠"});
    writer.set_i32s("tiny.numbers", {1, -2});
    writer.set_f32s("tiny.reals", {0.25f});
    writer.add_tensor("w", Type::f32, {2, 3}, test::f32_bytes({1, 2, 3, 4, 5, 6}));
    writer.add_tensor("q", Type::q8_0, {32, 2}, std::string(68, '\1'));
    return writer;
  }

  std::string path_;
};

// Overwrites bytes of a file's image.
template <typename T>
std::string with(std::string bytes, size_t at, T value) {
  std::memcpy(bytes.data() + at, &value, sizeof(T));
  return bytes;
}

TEST_F(GgufTest, GivesBackWhatWasWritten) {
  const auto file = open(small().bytes());
  ASSERT_TRUE(file) << file.status().to_string();
  const File& f = **file;
  EXPECT_EQ(f.get_string("general.architecture"), "tiny");
  EXPECT_EQ(f.get_uint("tiny.count"), 7u);
  EXPECT_EQ(f.get_float("tiny.half"), 0.5);
  EXPECT_EQ(f.get_float("tiny.count"), 7.0);
  EXPECT_EQ(f.get_bool("tiny.yes"), true);
  EXPECT_EQ(f.get_int("tiny.minus"), -3);
  EXPECT_EQ(f.get_uint("tiny.minus"), std::nullopt);
  EXPECT_EQ(f.get_strings("tiny.words"), (std::vector<std::string_view>{"a", "", "渠"}));
  EXPECT_EQ(f.get_ints("tiny.numbers"), (std::vector<int64_t>{1, -2}));
  EXPECT_EQ(f.get_floats("tiny.reals"), (std::vector<float>{0.25f}));
  EXPECT_EQ(f.get_string("tiny.count"), std::nullopt);
  EXPECT_EQ(f.get_strings("absent"), std::nullopt);
  const Tensor* w = f.tensor("w");
  ASSERT_TRUE(w);
  EXPECT_EQ(w->ne, (std::array<uint64_t, 4>{2, 3, 1, 1}));
  EXPECT_EQ(w->row_bytes(), 8u);
  float last;
  std::memcpy(&last, w->data + 20, 4);
  EXPECT_EQ(last, 6);
  EXPECT_EQ(f.tensor("q")->bytes, 68u);
  EXPECT_EQ(f.tensor("absent"), nullptr);
  EXPECT_EQ(f.describe().size(), 8u);
}

TEST_F(GgufTest, ABadHeaderIsAnErrorThatNamesTheField) {
  const std::string good = small().bytes();
  const size_t array = good.find("tiny.words") + 10 + 4;   // element type, then count
  const size_t offset = good.find(std::string("\1\0\0\0\0\0\0\0q\2", 10)) + 8 + 1 + 4 + 16 + 4;   // of tensor 'q'
  GgufWriter long_key;
  long_key.set_u32(std::string(65536, 'k'), 1);
  struct Case {
    const char* name;
    std::string bytes;
    StatusCode code;
    const char* says;
  };
  const Case cases[] = {
      {"no magic", with<char>(good, 0, 'X'), StatusCode::corrupt, "GGUF"},
      {"version 0", with<uint32_t>(good, 4, 0), StatusCode::unsupported, "version 0"},
      {"version 1", with<uint32_t>(good, 4, 1), StatusCode::unsupported, "version 1"},
      {"version 4", with<uint32_t>(good, 4, 4), StatusCode::unsupported, "version 4"},
      {"big endian", with<uint32_t>(good, 4, 0x03000000), StatusCode::unsupported, "big-endian"},
      {"absurd tensor count", with<uint64_t>(good, 8, UINT64_MAX), StatusCode::corrupt, "tensors"},
      {"tensor count of 2^63", with<uint64_t>(good, 8, 1ull << 63), StatusCode::corrupt, "tensors"},
      {"absurd key count", with<uint64_t>(good, 16, 1ull << 62), StatusCode::corrupt, "metadata keys"},
      {"key longer than the file", with<uint64_t>(good, 24, 1ull << 40), StatusCode::corrupt, "key number 0"},
      {"key length 0", with<uint64_t>(good, 24, 0), StatusCode::corrupt, "key number 0"},
      {"key of 2^64-1 bytes", with<uint64_t>(good, 24, UINT64_MAX), StatusCode::corrupt, "key number 0"},
      {"unknown value type", with<uint32_t>(good, 24 + 8 + 20, 99), StatusCode::corrupt, "general.architecture"},
      {"string longer than the file", with<uint64_t>(good, 24 + 8 + 20 + 4, 1ull << 50), StatusCode::corrupt, "general.architecture"},
      {"key above the format's limit", long_key.bytes(), StatusCode::corrupt, "key number 0"},
      {"array inside an array", with<uint32_t>(good, array, 9), StatusCode::corrupt, "tiny.words"},
      {"unknown element type", with<uint32_t>(good, array, 13), StatusCode::corrupt, "tiny.words"},
      {"absurd number of strings", with<uint64_t>(good, array + 4, 1ull << 61), StatusCode::corrupt, "tiny.words"},
      {"absurd number of numbers", with<uint64_t>(good, good.find("tiny.numbers") + 12 + 8, UINT64_MAX), StatusCode::corrupt, "tiny.numbers"},
      {"offset not aligned", with<uint64_t>(good, offset, 33), StatusCode::corrupt, "tensor 'q'"},
      {"offset beyond the end", with<uint64_t>(good, offset, 1 << 20), StatusCode::corrupt, "tensor 'q'"},
      {"offset that wraps", with<uint64_t>(good, offset, UINT64_MAX - 31), StatusCode::corrupt, "tensor 'q'"},
  };
  for (const Case& c : cases) {
    const auto file = open(c.bytes);
    ASSERT_FALSE(file) << c.name;
    EXPECT_EQ(file.status().code(), c.code) << c.name;
    EXPECT_NE(file.status().to_string().find(c.says), std::string::npos) << c.name << ": " << file.status().to_string();
  }
}

TEST_F(GgufTest, ABadTensorIsAnErrorThatNamesIt) {
  struct Case {
    const char* name;
    std::function<void(GgufWriter&)> write;
    StatusCode code;
    const char* says;
  };
  const auto raw = [](uint32_t type) { return static_cast<Type>(type); };
  const Case cases[] = {
      {"no dimension", [](GgufWriter& w) { w.add_tensor("t", Type::f32, {}, ""); }, StatusCode::corrupt, "0 dimensions"},
      {"five dimensions", [](GgufWriter& w) { w.add_tensor("t", Type::f32, {1, 1, 1, 1, 1}, "    "); }, StatusCode::corrupt, "5 dimensions"},
      {"no elements", [](GgufWriter& w) { w.add_tensor("t", Type::f32, {0, 4}, ""); }, StatusCode::corrupt, "no elements"},
      {"product wraps", [](GgufWriter& w) { w.add_tensor("t", Type::f32, {1ull << 63, 4}, ""); }, StatusCode::corrupt, "memory"},
      {"largest signed number", [](GgufWriter& w) { w.add_tensor("t", Type::f32, {INT64_MAX, 2}, ""); }, StatusCode::corrupt, "'t'"},
      {"bytes wrap", [](GgufWriter& w) { w.add_tensor("t", Type::f32, {SIZE_MAX / 4 + 1}, ""); }, StatusCode::corrupt, "memory"},
      {"padding wraps", [](GgufWriter& w) { w.add_tensor("t", Type::f32, {SIZE_MAX / 4}, ""); }, StatusCode::corrupt, "data section"},
      {"unknown type", [&](GgufWriter& w) { w.add_tensor("t", raw(4), {4}, std::string(16, 0)); }, StatusCode::unsupported, "type number 4"},
      {"huge type", [&](GgufWriter& w) { w.add_tensor("t", raw(UINT32_MAX), {4}, std::string(16, 0)); }, StatusCode::unsupported, "type number"},
      {"row is no whole block", [](GgufWriter& w) { w.add_tensor("t", Type::q4_k, {100}, std::string(144, 0)); }, StatusCode::corrupt, "multiple"},
      {"larger than the file", [](GgufWriter& w) { w.add_tensor("t", Type::f32, {1000}, "1234"); }, StatusCode::corrupt, "data section"},
      {"twice", [](GgufWriter& w) { w.add_tensor("t", Type::f32, {1}, "1234"), w.add_tensor("t", Type::f32, {1}, "1234"); }, StatusCode::corrupt, "twice"},
      {"no name", [](GgufWriter& w) { w.add_tensor("", Type::f32, {1}, "1234"); }, StatusCode::corrupt, "name"},
      {"overlap", [](GgufWriter& w) { w.add_tensor("t", Type::f32, {64}, "1234"), w.add_tensor("u", Type::f32, {32}, std::string(256, 0)); }, StatusCode::corrupt, "overlaps"},
      {"alignment 3", [](GgufWriter& w) { w.set_u32("general.alignment", 3); }, StatusCode::corrupt, "alignment"},
      {"alignment 0", [](GgufWriter& w) { w.set_u32("general.alignment", 0); }, StatusCode::corrupt, "alignment"},
      {"alignment 2^31", [](GgufWriter& w) { w.set_u32("general.alignment", 1u << 31); }, StatusCode::corrupt, "alignment"},
      {"alignment as text", [](GgufWriter& w) { w.set_string("general.alignment", "32"); }, StatusCode::corrupt, "alignment"},
      {"key twice", [](GgufWriter& w) { w.set_u32("k", 1), w.set_u32("k", 2); }, StatusCode::corrupt, "twice"},
      {"a part under another name", [](GgufWriter& w) { w.set_u32("split.count", 2); }, StatusCode::corrupt, "-00001-of-00002.gguf"},
  };
  for (const Case& c : cases) {
    GgufWriter writer;
    writer.set_u32("some.key", 1);
    c.write(writer);
    const auto file = open(writer.bytes());
    ASSERT_FALSE(file) << c.name;
    EXPECT_EQ(file.status().code(), c.code) << c.name << ": " << file.status().to_string();
    EXPECT_NE(file.status().to_string().find(c.says), std::string::npos) << c.name << ": " << file.status().to_string();
  }
}

TEST_F(GgufTest, AFileCutShortAnywhereIsRefused) {
  const std::string good = small().bytes();
  for (size_t size = 0; size + 28 < good.size(); ++size)   // the last tensor is padded to 32 bytes
    EXPECT_FALSE(open(good.substr(0, size))) << size;
}

TEST_F(GgufTest, BytesInMemoryAreReadLikeAFile) {
  const std::string good = small().bytes();
  const auto parse = [](const std::string& bytes) { return File::parse(std::as_bytes(std::span(bytes))); };
  const auto file = parse(good);
  ASSERT_TRUE(file) << file.status().to_string();
  EXPECT_EQ((*file)->path(), "");
  EXPECT_EQ((*file)->file_bytes(), good.size());
  EXPECT_EQ((*file)->describe(), (*open(good))->describe());
  ASSERT_TRUE((*file)->tensor("w"));
  EXPECT_GE(reinterpret_cast<const char*>((*file)->tensor("w")->data), good.data());
  for (size_t size = 0; size + 28 < good.size(); ++size) EXPECT_FALSE(parse(good.substr(0, size))) << size;
  GgufWriter part = small();
  part.set_u32("split.count", 2);
  EXPECT_EQ(parse(part.bytes()).status().code(), StatusCode::unsupported);
}

TEST_F(GgufTest, AnyFlippedBitIsSurvived) {
  const std::string good = small().bytes();
  for (size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::string bytes = good;
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << bit % 8));
    const auto file = open(bytes);
    if (!file) continue;
    (*file)->describe();
    for (const Tensor& tensor : (*file)->tensors()) EXPECT_LE(tensor.bytes, bytes.size());
  }
}

class SplitTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = testing::TempDir() + "wenqu_split_" + std::to_string(::getpid());
    std::filesystem::create_directories(folder_);
    for (uint32_t i = 0; i < 3; ++i) part(i).write(name(i));
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string name(uint32_t i) const { return folder_ + "/m-0000" + std::to_string(i + 1) + "-of-00003.gguf"; }
  static GgufWriter part(uint32_t i, uint32_t count = 3, uint32_t tensors = 3) {
    GgufWriter writer;
    if (i == 0) writer.set_string("general.architecture", "tiny");
    writer.set_u32("split.no", i);
    writer.set_u32("split.count", count);
    writer.set_u32("split.tensors.count", tensors);
    writer.add_tensor("t" + std::to_string(i), Type::f32, {1}, test::f32_bytes({static_cast<float>(i)}));
    return writer;
  }
  std::string folder_;
};

TEST_F(SplitTest, AModelInPartsIsOneFileByTheNameOfAnyPart) {
  for (uint32_t i = 0; i < 3; ++i) {
    const auto file = File::open(name(i));
    ASSERT_TRUE(file) << file.status().to_string();
    EXPECT_EQ((*file)->get_string("general.architecture"), "tiny");
    EXPECT_EQ((*file)->tensors().size(), 3u);
    for (uint32_t k = 0; k < 3; ++k) {
      const Tensor* tensor = (*file)->tensor("t" + std::to_string(k));
      ASSERT_TRUE(tensor);
      float value;
      std::memcpy(&value, tensor->data, 4);
      EXPECT_EQ(value, static_cast<float>(k));
    }
    EXPECT_EQ((*file)->file_bytes(), std::filesystem::file_size(name(0)) + 2 * std::filesystem::file_size(name(1)));
  }
}

TEST_F(SplitTest, APartThatIsMissingOrFromElsewhereIsNamed) {
  const auto refused = [&](StatusCode code, const std::string& says) {
    const Status status = File::open(name(0)).status();
    EXPECT_EQ(status.code(), code) << status.to_string();
    EXPECT_NE(status.to_string().find(says), std::string::npos) << status.to_string();
  };
  std::filesystem::rename(name(1), folder_ + "/away");
  refused(StatusCode::not_found, "m-00002-of-00003.gguf");
  part(2).write(name(1));
  refused(StatusCode::corrupt, "not part 2 of 3");
  part(1, 4).write(name(1));
  refused(StatusCode::corrupt, "not part 2 of 3");
  GgufWriter twice = part(1);
  twice.add_tensor("t0", Type::f32, {1}, "1234");
  twice.write(name(1));
  refused(StatusCode::corrupt, "twice");
  part(1).write(name(1));
  part(0, 3, 4).write(name(0));
  refused(StatusCode::corrupt, "split.tensors.count");
  part(0, 1000).write(name(0));
  refused(StatusCode::corrupt, "split.count");
}

TEST_F(GgufTest, WhatIsNoFileIsAnError) {
  EXPECT_EQ(File::open("/nonexistent.gguf").status().code(), StatusCode::not_found);
  EXPECT_EQ(File::open("/dev/zero").status().code(), StatusCode::invalid_argument);
  EXPECT_EQ(File::open(testing::TempDir()).status().code(), StatusCode::invalid_argument);
}

}  // namespace
}  // namespace wenqu::engine::gguf
