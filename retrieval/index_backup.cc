#include "retrieval/index_backup.h"

#include <unistd.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "retrieval/index/open_commit.h"
#include "retrieval/store/crc32c.h"
#include "retrieval/store/file.h"
#include "retrieval/store/manifest.h"
#include "retrieval/sync/sync_state.h"

namespace wenqu::retrieval {
namespace {

constexpr size_t kBlock = size_t{1} << 20;

// From the file that the snapshot holds open, which may have lost its name meanwhile.
Status copy_file(const CommittedFile& from, const std::string& to, const CancelToken& cancel) {
  WENQU_ASSIGN_OR_RETURN(File file, File::create(to));
  std::string block;
  uint32_t crc = 0;
  for (uint64_t at = 0; at < from.entry.bytes; at += block.size()) {
    WENQU_RETURN_IF_ERROR(cancel.status());
    block.resize(static_cast<size_t>(std::min<uint64_t>(kBlock, from.entry.bytes - at)));
    WENQU_RETURN_IF_ERROR(from.file.read_at(at, block.data(), block.size()));
    crc = crc32c(crc, block.data(), block.size());
    WENQU_RETURN_IF_ERROR(file.write_at(at, block));
  }
  if (crc != from.entry.crc)
    return Status(StatusCode::corrupt, "the content fails its checksum, so it was not copied", from.file.path());
  WENQU_RETURN_IF_ERROR(file.sync());
  WENQU_RETURN_IF_ERROR(verify_file(file, from.entry));
  return file.close();
}

// Whether it could be linked and is the file that was meant.
bool link_file(const CommittedFile& from, const std::string& to) {
  if (::link(from.file.path().c_str(), to.c_str()) != 0) return false;
  const auto linked = File::open(to);
  if (linked && verify_file(*linked, from.entry)) return true;
  (void)remove_file(to).is_ok();
  return false;
}

// The vectors of a commit, open; not_found when one is gone.
Result<std::vector<CommittedFile>> open_vectors(const IndexPaths& paths, const Manifest& manifest) {
  std::vector<CommittedFile> files;
  for (const ManifestFile& entry : manifest.vectors) {
    WENQU_ASSIGN_OR_RETURN(File file, File::open(paths.vectors + "/" + entry.name));
    files.push_back({std::move(file), entry});
  }
  return files;
}

// A commit and its vectors, all open, so that they stay whatever writers do.
struct Original {
  std::shared_ptr<const Snapshot> snapshot;
  std::vector<CommittedFile> vectors;
  std::string files;   // FolderSync's state
};

// What is known of the folders that the index follows; empty: nothing.
Result<std::string> followed_files(const IndexPaths& paths) {
  constexpr uint64_t kMost = uint64_t{1} << 32;
  Result<std::string> files = read_whole_file(paths.directory + "/" + kSyncStateName, kMost);
  if (!files && files.status().code() == StatusCode::not_found) return std::string();
  return files;
}

Result<Original> open_original(const IndexPaths& paths) {
  constexpr int kAttempts = 20;
  Original original;
  WENQU_ASSIGN_OR_RETURN(original.files, followed_files(paths));
  for (int attempt = 1;; ++attempt) {
    WENQU_ASSIGN_OR_RETURN(original.snapshot, open_newest_commit(paths, original.snapshot));
    // It is saved before and after each commit: where it stayed the same it is of this one, or knows more.
    WENQU_ASSIGN_OR_RETURN(std::string files, followed_files(paths));
    if (std::exchange(original.files, std::move(files)) != original.files && attempt < kAttempts) continue;
    auto vectors = open_vectors(paths, original.snapshot->manifest());
    if (vectors) {
      original.vectors = std::move(*vectors);
      return original;
    }
    // A commit whose vectors are gone before they are opened is the newest no more.
    const auto manifest = read_manifest(paths.manifest);
    if (attempt == kAttempts || !manifest || *manifest == original.snapshot->manifest()) return vectors.status();
  }
}

// Copies or links one file, and counts it.
Status back_up_file(const CommittedFile& file, const std::string& to, const BackupOptions& options, const CancelToken& cancel,
                    BackupReport& report) {
  WENQU_RETURN_IF_ERROR(cancel.status());
  if (options.link && link_file(file, to))
    ++report.linked;
  else
    WENQU_RETURN_IF_ERROR(copy_file(file, to, cancel));
  ++report.files;
  report.bytes += file.entry.bytes;
  return {};
}

}  // namespace

Result<BackupReport> backup_index(const std::string& directory, const std::string& out, const BackupOptions& options,
                                  const CancelToken& cancel) {
  if (directory.empty() || out.empty())
    return Status(StatusCode::invalid_argument, "a backup needs the directory of an index and one to write to");
  WENQU_ASSIGN_OR_RETURN(const bool is_there, exists(directory));
  if (!is_there) return Status(StatusCode::not_found, "there is no such index", directory);
  WENQU_ASSIGN_OR_RETURN(const Original original, open_original(IndexPaths(directory)));
  const Snapshot* const snapshot = original.snapshot.get();
  const IndexPaths paths(out);
  WENQU_ASSIGN_OR_RETURN(const bool there, exists(out));
  if (there) {
    WENQU_ASSIGN_OR_RETURN(const bool empty, is_empty_directory(out));
    if (!empty) return Status(StatusCode::invalid_argument, "the folder is not empty: name a new one", out);
  }
  WENQU_RETURN_IF_ERROR(create_directories(paths.lucene));
  BackupReport report;
  report.commit = snapshot->manifest().commit;
  report.documents = snapshot->documents();
  for (const auto& [name, file] : snapshot->files())
    WENQU_RETURN_IF_ERROR(back_up_file(*file, paths.lucene + "/" + name, options, cancel, report));
  WENQU_RETURN_IF_ERROR(sync_directory(paths.lucene));
  if (!original.vectors.empty()) {
    WENQU_RETURN_IF_ERROR(create_directories(paths.vectors));
    for (const CommittedFile& file : original.vectors)
      WENQU_RETURN_IF_ERROR(back_up_file(file, paths.vectors + "/" + file.entry.name, options, cancel, report));
    WENQU_RETURN_IF_ERROR(sync_directory(paths.vectors));
  }
  if (!original.files.empty()) {
    WENQU_RETURN_IF_ERROR(write_replacement(out + "/" + kSyncStateName, original.files));
    WENQU_RETURN_IF_ERROR(install_replacement(out + "/" + kSyncStateName));
  }
  WENQU_RETURN_IF_ERROR(write_manifest(paths, snapshot->manifest()));
  return report;
}

}  // namespace wenqu::retrieval
