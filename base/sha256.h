// SHA-256 (FIPS 180-4) of bytes that come in pieces, by OpenSSL.
//
// Thread safety: one thread at a time.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

struct evp_md_ctx_st;   // OpenSSL's

namespace wenqu {

class Sha256 {
 public:
  static constexpr size_t kBytes = 32;
  using Digest = std::array<uint8_t, kBytes>;

  Sha256();   // throws std::bad_alloc
  ~Sha256();

  void add(std::span<const std::byte> bytes);
  // Of all that was added. Nothing may be added afterwards.
  Digest finish();

 private:
  struct Free {
    void operator()(evp_md_ctx_st* context) const;
  };
  std::unique_ptr<evp_md_ctx_st, Free> context_;
};

}  // namespace wenqu
