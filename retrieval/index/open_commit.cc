#include "retrieval/index/open_commit.h"

namespace wenqu::retrieval {
namespace {

// A writer removes a commit's files two commits later, so losing this race often in a row takes a
// writer far faster than any reader.
constexpr int kAttempts = 20;

// What a user with a damaged commit can do.
std::string advice(const IndexPaths& paths) {
  const std::string rebuild = "index the documents again into an empty folder";
  const auto manifest = read_manifest(paths.previous_manifest);
  if (!manifest || manifest->commit == 0 || !Snapshot::open(paths, *manifest, nullptr)) return rebuild;
  return "the commit before it (number " + std::to_string(manifest->commit) + ") is whole: `wenqu check --repair " +
         paths.directory + "` goes back to it, or " + rebuild;
}

Status damaged(const IndexPaths& paths, const Status& why) {
  return Status(StatusCode::corrupt, "the newest commit is damaged: " + why.message() + "; " + advice(paths),
                why.where());
}

}  // namespace

Status no_index(const IndexPaths& paths) {
  return Status(StatusCode::not_found, "there is no index here, or nothing was committed to it yet: build one with `wenqu index`", paths.directory);
}

Status other_words_mismatch(const std::string& directory) {
  return Status(StatusCode::version_mismatch,
                "the documents were analysed with other words, or with or without pinyin, than these: name none, and those of "
                "the index hold; or give it these by `wenqu migrate --words FILE DIR` (or --pinyin), which analyses all documents again",
                directory);
}

Result<std::shared_ptr<const Snapshot>> open_newest_commit(const IndexPaths& paths,
                                                           const std::shared_ptr<const Snapshot>& earlier,
                                                           Analyses analyses) {
  auto manifest = read_manifest(paths.manifest, analyses);
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    if (!manifest) {
      const Status& why = manifest.status();
      if (why.code() == StatusCode::corrupt) return damaged(paths, why);
      if (why.code() == StatusCode::not_found && read_whole_file(paths.previous_manifest, 1 << 24))
        return damaged(paths, Status(StatusCode::corrupt, "its manifest is gone", paths.manifest));
      return why.code() == StatusCode::not_found ? no_index(paths) : why;
    }
    if (manifest->commit == 0) return no_index(paths);
    if (earlier && earlier->manifest() == *manifest) return earlier;
    auto snapshot = Snapshot::open(paths, *manifest, earlier.get());
    if (snapshot || snapshot.status().code() == StatusCode::out_of_memory) return snapshot;
    // A file that is gone or changed is a defect only if the commit is still the newest.
    auto again = read_manifest(paths.manifest, analyses);
    if (again && *again == *manifest)
      return snapshot.status().code() == StatusCode::io_error ? snapshot
                                                              : damaged(paths, snapshot.status());
    manifest = std::move(again);
  }
  return Status(StatusCode::busy, "commits follow each other too fast to open one; try again", paths.directory);
}

}  // namespace wenqu::retrieval
