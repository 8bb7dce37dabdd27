// The manifest is the truth about an index: which commit is the newest and which files make it up.
// What it does not name does not exist for readers.
//
// It is a small text file that ends with its own checksum:
//   wenqu-index 1          format version
//   analysis 1             version of the analysis that made the terms
//   commit 12              number of the commit; 0 for an index that was never committed
//   file 5120 89abcdef _0.cfs   length in bytes, CRC-32C, name below lucene/
//   vectors 640 01234567 c12.set   the same of a file below vectors/; indexes without vectors have no such line
//   crc32c 01234567        of all bytes above
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "retrieval/analysis/analyzer.h"
#include "retrieval/store/file.h"

namespace wenqu::retrieval {

inline constexpr int kIndexFormatVersion = 1;

struct ManifestFile {
  std::string name;
  uint64_t bytes = 0;
  uint32_t crc = 0;
  bool operator==(const ManifestFile&) const = default;
};

struct Manifest {
  uint64_t commit = 0;
  int analysis = kAnalysisVersion;   // version of the analysis that made the terms
  std::vector<ManifestFile> files;
  std::vector<ManifestFile> vectors;
  bool operator==(const Manifest&) const = default;
};

// Where the parts of an index lie.
struct IndexPaths {
  explicit IndexPaths(const std::string& directory);

  std::string directory;
  std::string manifest;           // of the newest commit
  std::string previous_manifest;  // of the one before it
  std::string lock;
  std::string lucene;             // the folder of the files that manifests name
  std::string vectors;            // and that of their vectors
};

// Which indexes are read: those whose terms were made by this build's analysis, or by an older one too, whose
// documents can be read but not searched.
enum class Analyses { this_only, older_too };

std::string format_manifest(const Manifest& manifest);
// Errors: corrupt; version_mismatch, saying how to mend it.
Result<Manifest> parse_manifest(std::string_view text, Analyses analyses = Analyses::this_only);
// The manifest at `path`, one of `paths`. Errors: not_found, and as above.
Result<Manifest> read_manifest(const std::string& path, Analyses analyses = Analyses::this_only);
// Holds an open file against its entry. Errors: corrupt, io_error.
Status verify_file(const File& file, const ManifestFile& entry);
// Makes `manifest` the newest and the file that stands there the previous one. Everything it names
// must be durable already.
Status write_manifest(const IndexPaths& paths, const Manifest& manifest);

// Puts `manifest` in the place of the newest; the previous one stays.
Status replace_manifest(const IndexPaths& paths, const Manifest& manifest);
// Makes the previous manifest the newest again.
Status restore_previous_manifest(const IndexPaths& paths);

}  // namespace wenqu::retrieval
