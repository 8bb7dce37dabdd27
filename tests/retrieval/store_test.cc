#include <gtest/gtest.h>

#include <random>

#include "retrieval/index/record.h"
#include "retrieval/store/crc32c.h"
#include "retrieval/store/manifest.h"

namespace wenqu::retrieval {
namespace {

TEST(Crc32c, GivesThePublishedChecksums) {
  EXPECT_EQ(crc32c("123456789"), 0xE3069283u);
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8A9136AAu);  // RFC 3720, B.4
  EXPECT_EQ(crc32c(std::string(32, '\xFF')), 0x62A8AB43u);
  EXPECT_EQ(crc32c(""), 0u);
}

TEST(Crc32c, BothFormsAgreeAndCanBeContinued) {
  std::mt19937 random(1);
  std::string bytes;
  for (int i = 0; i < 300; ++i) {
    const size_t cut = bytes.empty() ? 0 : random() % bytes.size();
    const uint32_t whole = crc32c(bytes);
    EXPECT_EQ(crc32c_portable(0, bytes.data(), bytes.size()), whole);
    EXPECT_EQ(crc32c(crc32c(0, bytes.data(), cut), bytes.data() + cut, bytes.size() - cut), whole);
    bytes += static_cast<char>(random());
  }
}

TEST(Manifest, ReadsWhatItWrites) {
  Manifest manifest;
  manifest.commit = 18446744073709551615u;
  manifest.files = {{"_0.cfs", 12345678901234, 0xFFFFFFFF}, {"segments_a", 0, 0}};
  const auto read = parse_manifest(format_manifest(manifest));
  ASSERT_TRUE(read);
  EXPECT_EQ(*read, manifest);
}

TEST(Manifest, NoticesEveryFlippedBitAndEveryTruncation) {
  Manifest manifest;
  manifest.commit = 7;
  manifest.files = {{"_0.cfs", 5120, 0x89ABCDEF}};
  const std::string text = format_manifest(manifest);
  for (size_t i = 0; i < text.size(); ++i) {
    EXPECT_EQ(parse_manifest(text.substr(0, i)).status().code(), StatusCode::corrupt);
    for (int bit = 0; bit < 8; ++bit) {
      std::string flipped = text;
      flipped[i] = static_cast<char>(flipped[i] ^ (1 << bit));
      EXPECT_EQ(parse_manifest(flipped).status().code(), StatusCode::corrupt);
    }
  }
}

TEST(Record, AnyBytesDecodeToWhatTheyMeanOrAreRefused) {
  Document document;
  document.id = "文/1";
  document.title = std::string(300, 't');
  document.source = Source::chat;
  document.attributes = {{"a", ""}, {"b", "c"}};
  const std::string encoded = encode_properties(document);
  const auto decoded = decode_properties(encoded);
  ASSERT_TRUE(decoded);
  EXPECT_EQ(decoded->id, document.id);
  EXPECT_EQ(decoded->title, document.title);
  EXPECT_EQ(decoded->source, document.source);
  EXPECT_EQ(decoded->attributes, document.attributes);
  for (size_t size = 0; size < encoded.size(); ++size) EXPECT_FALSE(decode_properties(encoded.substr(0, size)));
  EXPECT_FALSE(decode_properties(encoded + "x"));
  std::mt19937 random(3);
  for (int i = 0; i < 2000; ++i) {
    std::string noise = encoded;
    noise[random() % noise.size()] = static_cast<char>(random());
    (void)decode_properties(noise).is_ok();
    (void)decode_passage(noise).is_ok();
  }
}

}  // namespace
}  // namespace wenqu::retrieval
