#include "retrieval/index_check.h"

#include <sys/stat.h>

#include <ctime>

#include "retrieval/index/snapshot.h"
#include "retrieval/index/walk.h"
#include "retrieval/store/manifest.h"
#include "retrieval/store/write_lock.h"
#include "retrieval/vectors/vector_set.h"

namespace wenqu::retrieval {
namespace {

// A commit may be replaced, and its files removed, while it is looked over.
constexpr int kAttempts = 5;

std::string time_of(const std::string& path) {
  struct stat info {};
  std::tm utc{};
  char text[32] = {};
  if (::stat(path.c_str(), &info) != 0 || !::gmtime_r(&info.st_mtime, &utc)) return {};
  std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &utc);
  return text;
}

Status check_file(const std::string& folder, const ManifestFile& entry) {
  WENQU_ASSIGN_OR_RETURN(const File file, File::open(folder + "/" + entry.name));
  file.drop_cache();
  return verify_file(file, entry);
}

Status cancelled_or_damage(Status status, std::vector<Status>& damage) {
  const StatusCode code = status.code();
  if (code == StatusCode::cancelled || code == StatusCode::deadline_exceeded || code == StatusCode::out_of_memory)
    return status;
  if (!status) damage.push_back(std::move(status));
  return {};
}

// The files, then what they hold.
Status check_vectors(const IndexPaths& paths, const Manifest& manifest, const CancelToken& cancel, CommitCheck& check) {
  check.files += manifest.vectors.size();
  for (const ManifestFile& entry : manifest.vectors) {
    WENQU_RETURN_IF_ERROR(cancel.status());
    check.bytes += entry.bytes;
    if (Status status = check_file(paths.vectors, entry); !status) check.vector_damage.push_back(std::move(status));
  }
  if (manifest.vectors.empty() || !check.vector_damage.empty()) return {};
  const auto set = VectorSet::open(paths, manifest, nullptr);
  if (set) check.vectors = (*set)->size();
  return cancelled_or_damage(set.status(), check.vector_damage);
}

Result<CommitCheck> check_commit(const IndexPaths& paths, const Result<Manifest>& manifest,
                                 const std::string& manifest_path, const CancelToken& cancel) {
  CommitCheck check;
  check.written_at = time_of(manifest_path);
  if (!manifest) {
    check.damage.push_back(manifest.status());
    return check;
  }
  check.commit = manifest->commit;
  check.files = manifest->files.size();
  for (const ManifestFile& entry : manifest->files) {
    WENQU_RETURN_IF_ERROR(cancel.status());
    check.bytes += entry.bytes;
    if (Status status = check_file(paths.lucene, entry); !status) check.damage.push_back(std::move(status));
  }
  WENQU_RETURN_IF_ERROR(check_vectors(paths, *manifest, cancel, check));
  if (check.commit == 0 || !check.damage.empty()) return check;
  const auto snapshot = Snapshot::open(paths, *manifest, nullptr);
  Status walked = snapshot ? walk_commit(**snapshot, cancel) : snapshot.status();
  WENQU_RETURN_IF_ERROR(cancelled_or_damage(std::move(walked), check.damage));
  if (!check.damage.empty()) return check;
  check.documents = (*snapshot)->documents();
  check.passages = (*snapshot)->passages();
  return check;
}

bool same(const Result<Manifest>& a, const Result<Manifest>& b) {
  return a && b ? *a == *b : a.status().code() == b.status().code();
}

// As check_index(), of whatever stands there now; nothing when that changed meanwhile.
Result<bool> check_once(const IndexPaths& paths, const CancelToken& cancel, IndexCheck& check) {
  const auto newest = read_manifest(paths.manifest);
  auto previous = read_manifest(paths.previous_manifest);
  // An index that was migrated cannot go back to before.
  if (newest && previous.status().code() == StatusCode::version_mismatch)
    previous = Status(StatusCode::not_found, "of another version", paths.previous_manifest);
  if (newest.status().code() == StatusCode::version_mismatch) return newest.status();
  if (newest.status().code() == StatusCode::not_found && previous.status().code() == StatusCode::not_found)
    return Status(StatusCode::not_found, "there is no index here", paths.directory);
  WENQU_ASSIGN_OR_RETURN(check.newest, check_commit(paths, newest, paths.manifest, cancel));
  check.previous = CommitCheck();
  if (previous.status().code() != StatusCode::not_found) {
    WENQU_ASSIGN_OR_RETURN(check.previous, check_commit(paths, previous, paths.previous_manifest, cancel));
  }
  if (check.newest.whole() && check.previous.whole()) return true;
  const auto again = read_manifest(paths.previous_manifest);
  return same(newest, read_manifest(paths.manifest)) &&
         (same(previous, again) || again.status().code() == StatusCode::version_mismatch);
}

Status check_repairable(const IndexCheck& check, const std::string& directory) {
  const std::vector<Status>& newest = check.newest.damage.empty() ? check.newest.vector_damage : check.newest.damage;
  for (const Status& damage : newest)
    if (damage.code() == StatusCode::io_error)
      return Status(StatusCode::io_error,
                    damage.message() + "; nothing was changed: mend what keeps the file from being read, or remove "
                                       "the file, and repair again",
                    damage.where());
  if (check.can_go_back() || check.can_drop_vectors()) return {};
  return Status(StatusCode::corrupt,
                "the newest commit is damaged and there is no whole one before it; nothing was changed: put a copy "
                "back, or index the documents again into an empty folder",
                directory);
}

}  // namespace

Result<IndexCheck> check_index(const std::string& directory, const CancelToken& cancel) {
  if (directory.empty()) return Status(StatusCode::invalid_argument, "the index needs a directory");
  const IndexPaths paths(directory);
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    IndexCheck check;
    WENQU_ASSIGN_OR_RETURN(const bool done, check_once(paths, cancel, check));
    if (done) return check;
  }
  return Status(StatusCode::busy, "commits follow each other too fast to check one; try again", directory);
}

Result<IndexCheck> repair_index(const std::string& directory, const CancelToken& cancel) {
  const IndexPaths paths(directory);
  // Not before there is something to repair: taking the lock may make its file.
  WENQU_ASSIGN_OR_RETURN(IndexCheck check, check_index(directory, cancel));
  if (check.newest.whole()) return check;
  WENQU_ASSIGN_OR_RETURN(const WriteLock lock, WriteLock::acquire(paths.directory, paths.lock));
  // A writer may have been at work meanwhile.
  WENQU_ASSIGN_OR_RETURN(check, check_index(directory, cancel));
  if (check.newest.whole()) return check;
  WENQU_RETURN_IF_ERROR(check_repairable(check, directory));
  if (!check.can_drop_vectors()) {
    WENQU_RETURN_IF_ERROR(restore_previous_manifest(paths));
    if (check.previous.vector_damage.empty()) return check;
  }
  WENQU_ASSIGN_OR_RETURN(Manifest manifest, read_manifest(paths.manifest));
  manifest.vectors.clear();
  WENQU_RETURN_IF_ERROR(replace_manifest(paths, manifest));
  return check;
}

}  // namespace wenqu::retrieval
