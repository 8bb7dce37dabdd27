// Several indexes under one directory, each by its name, searched alone or together.
//
// Thread safety: any thread may call; each call looks at the disk anew.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "retrieval/index.h"

namespace wenqu::retrieval {

class Collections {
 public:
  // create() makes the directory when it is absent. Errors: invalid_argument.
  static Result<Collections> open(const std::string& directory);

  // Those there are, in the order of their names. Errors: io_error.
  Result<std::vector<std::string>> names() const;
  // A name is 1 to 64 of the letters, digits, '-', '_' and '.', and begins with none of the last three.
  // Errors: invalid_argument (name), busy, and invalid_argument when it is there already.
  Status create(const std::string& name) const;
  // Errors: not_found, busy (open for writing), io_error. Readers that have it open keep reading it.
  Status drop(const std::string& name) const;
  // One of them, which must exist. Errors: as of Index::open().
  Result<std::unique_ptr<Index>> open_index(const std::string& name, Index::Mode mode,
                                            const IndexOptions& options = IndexOptions()) const;
  // Several for reading, as if they were one: rare and common, long and short are told from all of them together, so
  // the scores compare. Hit::collection says where a hit is from. A collection with nothing committed is empty.
  Result<std::unique_ptr<Index>> open_together(const std::vector<std::string>& names) const;

 private:
  explicit Collections(std::string directory) : directory_(std::move(directory)) {}
  Result<std::string> path_of(const std::string& name) const;

  std::string directory_;
};

}  // namespace wenqu::retrieval
