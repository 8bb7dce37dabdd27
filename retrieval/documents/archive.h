// The parts of a zip archive in memory, as Office files and books are. Thread safety: one thread at a time.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/cancel.h"
#include "base/status.h"

struct zip;

namespace wenqu::retrieval {

class Archive {
 public:
  // `bytes` outlives the archive. Errors: corrupt, limit_exceeded (too many parts), out_of_memory.
  static Result<Archive> open(std::string_view bytes);

  // Unpacks a part. Errors: not_found; corrupt; unsupported (encrypted, or packed in a way that is not known);
  // limit_exceeded, when this part or all that were read are larger unpacked than read_limits.h allows, whatever
  // the archive says; cancelled, deadline_exceeded.
  Result<std::string> read(const std::string& name, const CancelToken& cancel);

 private:
  struct Close {
    void operator()(zip* archive) const;
  };
  explicit Archive(zip* archive) : archive_(archive) {}

  std::unique_ptr<zip, Close> archive_;
  uint64_t unpacked_ = 0;
};

}  // namespace wenqu::retrieval
