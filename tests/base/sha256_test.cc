#include "base/sha256.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace wenqu {
namespace {

std::string hex(const Sha256::Digest& digest) { return fmt::format("{:02x}", fmt::join(digest, "")); }

TEST(Sha256, GivesTheStandardsExamplesWhateverThePieces) {
  // FIPS 180-4's examples of one and two blocks.
  const std::string_view text = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
  for (size_t cut = 0; cut <= text.size(); ++cut) {
    Sha256 hash;
    hash.add(std::as_bytes(std::span(text.substr(0, cut))));
    hash.add(std::as_bytes(std::span(text.substr(cut))));
    EXPECT_EQ(hex(hash.finish()), "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  }
  EXPECT_EQ(hex(Sha256().finish()), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

}  // namespace
}  // namespace wenqu
