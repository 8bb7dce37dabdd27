#include "engine/convert/safetensors.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>

#include "engine/cpu/fp8.h"
#include "tests/engine/hf_folder.h"

namespace wenqu::engine::convert {
namespace {

std::string with_header(const std::string& header, const std::string& data = std::string(8, '\1')) {
  const uint64_t length = header.size();
  return std::string(reinterpret_cast<const char*>(&length), sizeof(length)) + header + data;
}

// The entries point into the bytes, which must live on.
Result<std::vector<SafetensorsEntry>> parse(const std::string& bytes) { return parse_safetensors(std::as_bytes(std::span(bytes))); }

TEST(Safetensors, EntriesComeInTheOrderOfTheirDataWithShapeAndPlace) {
  const std::string bytes = with_header(R"({"__metadata__":{"a":"b"},"z":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
                                        R"("a":{"dtype":"BF16","shape":[2,1],"data_offsets":[4,8]},)"
                                        R"("none":{"dtype":"I64","shape":[0],"data_offsets":[8,8]}})");
  const auto entries = parse(bytes);
  ASSERT_TRUE(entries) << entries.status().to_string();
  ASSERT_EQ(entries->size(), 3u);
  EXPECT_EQ((*entries)[0].name, "z");
  EXPECT_EQ((*entries)[1].shape, (std::vector<uint64_t>{2, 1}));
  EXPECT_EQ((*entries)[1].dtype->name, "BF16");
  EXPECT_EQ((*entries)[1].data.size(), 4u);
  EXPECT_EQ(static_cast<const void*>((*entries)[0].data.data()), bytes.data() + bytes.size() - 8);
}

TEST(Safetensors, LiesAreRefusedWithTheTensor) {
  struct Case {
    const char* header;
    StatusCode code;
    const char* where;
  };
  const Case cases[] = {
      {R"({"t":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})", StatusCode::corrupt, "tensor 't'"},
      {R"({"t":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})", StatusCode::corrupt, "tensor 't'"},
      {R"({"t":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", StatusCode::corrupt, "tensor 't'"},
      {R"({"t":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})", StatusCode::corrupt, "tensor 't'"},
      {R"({"t":{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}})", StatusCode::corrupt, "tensor 't'"},
      {R"({"t":{"dtype":"F32","shape":[4294967296,4294967296,4],"data_offsets":[0,8]}})", StatusCode::corrupt, "tensor 't'"},
      {R"({"t":{"dtype":"F32","shape":[1,1,1,1,1,1,1,1,2],"data_offsets":[0,8]}})", StatusCode::corrupt, "tensor 't'"},
      {R"({"t":{"dtype":"F32","shape":[2],"data_offsets":[0,18446744073709551615]}})", StatusCode::corrupt, "tensor 't'"},
      {R"({"t":{"dtype":"F32","shape":[2],"data_offsets":[0]}})", StatusCode::corrupt, "tensor 't'"},
      {R"({"t":{"dtype":"F32","shape":[2]}})", StatusCode::corrupt, "tensor 't'"},
      {R"({"t":{"shape":[2],"data_offsets":[0,8]}})", StatusCode::corrupt, "tensor 't'"},
      {R"({"t":{"dtype":"Q7","shape":[2],"data_offsets":[0,8]}})", StatusCode::unsupported, "tensor 't': dtype"},
      {R"({"t":7})", StatusCode::corrupt, "tensor 't'"},
      {R"({"":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", StatusCode::corrupt, "tensor ''"},
      {R"({"t":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"t":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", StatusCode::corrupt, "tensor 't'"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"BF16","shape":[2],"data_offsets":[2,6]}})", StatusCode::corrupt, "tensor 'b'"},
      {R"({"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]},"e":{"dtype":"U8","shape":[0],"data_offsets":[4,4]},)"
       R"("b":{"dtype":"U8","shape":[2],"data_offsets":[6,8]}})", StatusCode::corrupt, "tensor 'b'"},
      {R"([1])", StatusCode::corrupt, "header"},
      {R"({"t":)", StatusCode::corrupt, "header"},
  };
  for (const Case& c : cases) {
    const Status status = parse(with_header(c.header)).status();
    EXPECT_EQ(status.code(), c.code) << c.header << " " << status.to_string();
    EXPECT_EQ(status.where(), c.where) << c.header;
  }
  EXPECT_EQ(parse("short").status().code(), StatusCode::corrupt);
  EXPECT_EQ(parse(with_header("{}").substr(0, 9)).status().code(), StatusCode::corrupt);
  const uint64_t huge[] = {1ull << 60, 0};
  EXPECT_EQ(parse(std::string(reinterpret_cast<const char*>(huge), 16)).status().code(), StatusCode::limit_exceeded);
  EXPECT_EQ(parse(with_header(R"({"t":)" + std::string(100000, '['))).status().code(), StatusCode::corrupt);
}

TEST(Safetensors, NoChangedByteOfAHeaderCrashes) {
  const std::string good = test::safetensors_bytes({{"one", {"F32", {2, 3}, std::string(24, 'x')}}, {"two", {"F8_E4M3", {5}, "abcde"}}});
  ASSERT_TRUE(parse(good));
  std::mt19937 random(1);
  size_t refused = 0;
  for (int i = 0; i < 20000; ++i) {
    std::string bytes = good;
    for (int k = 0; k < 2; ++k) bytes[random() % (bytes.size() - 29)] = static_cast<char>(random());
    if (i % 3 == 0) bytes.resize(random() % bytes.size());
    const auto entries = parse(bytes);
    refused += !entries;
    for (size_t e = 0; entries && e < entries->size(); ++e) {
      const std::span<const std::byte> data = (*entries)[e].data;
      ASSERT_TRUE(data.data() >= std::as_bytes(std::span(bytes)).data() && data.size() <= bytes.size());
    }
  }
  EXPECT_GT(refused, 15000u);
}

TEST(DType, Fp8FollowsItsDefinition) {
  EXPECT_EQ(cpu::e4m3_to_float(0x00), 0.0f);
  EXPECT_EQ(cpu::e4m3_to_float(0x01), 0x1p-9f);
  EXPECT_EQ(cpu::e4m3_to_float(0x08), 0x1p-6f);
  EXPECT_EQ(cpu::e4m3_to_float(0x38), 1.0f);
  EXPECT_EQ(cpu::e4m3_to_float(0xB9), -1.125f);
  EXPECT_EQ(cpu::e4m3_to_float(0x7E), 448.0f);
  EXPECT_TRUE(std::isnan(cpu::e4m3_to_float(0x7F)));
  EXPECT_TRUE(std::isnan(cpu::e4m3_to_float(0xFF)));
}

}  // namespace
}  // namespace wenqu::engine::convert
