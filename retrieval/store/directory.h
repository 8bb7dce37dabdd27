// The two faces that our files show to Lucene++: a commit that is only read, and the folder as its
// writer sees it. Lucene++'s own directories ignore failed writes and report lost commits as done.
//
// Lucene++ is given no say in what lasts: its sync is a no-op and its deletions of committed files
// only hide them. What is durable and what is garbage is decided by the writer, by manifests.
#pragma once

#include <lucene++/Lucene.h>
#include <lucene++/Directory.h>
#include <lucene++/HashSet.h>

#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>

#include "retrieval/store/file.h"
#include "retrieval/store/manifest.h"

namespace wenqu::retrieval {

// A file of a commit, open and verified against its manifest entry.
struct CommittedFile {
  File file;
  ManifestFile entry;
};
using CommittedFiles = std::map<std::string, std::shared_ptr<const CommittedFile>>;

// Exactly the files of one commit. They are open, so the commit stays readable whatever a writer
// deletes meanwhile. Thread safety: immutable but for lend().
class CommitDirectory : public Lucene::Directory {
 public:
  explicit CommitDirectory(CommittedFiles files);

  // Shows one more file until `file` is null again. REQUIRES: one thread at a time; nobody opens files meanwhile
  // but this one
  void lend(const std::string& name, std::shared_ptr<const CommittedFile> file);

  Lucene::HashSet<Lucene::String> listAll() override;
  bool fileExists(const Lucene::String& name) override;
  uint64_t fileModified(const Lucene::String& name) override;
  int64_t fileLength(const Lucene::String& name) override;
  Lucene::IndexInputPtr openInput(const Lucene::String& name) override;
  void touchFile(const Lucene::String& name) override;
  void deleteFile(const Lucene::String& name) override;
  Lucene::IndexOutputPtr createOutput(const Lucene::String& name) override;
  void close() override {}

 private:
  const CommittedFile& find(const Lucene::String& name) const;

  CommittedFiles files_;
};

// The folder of an index while it is written. Thread safety: any thread may use it, as a merge goes on beside
// the writer; what is called of one name at a time is up to them.
class WriterDirectory : public Lucene::Directory {
 public:
  // Sees the files of `committed` (null: none) and those it creates.
  WriterDirectory(std::string folder, const Manifest* committed);

  const std::string& folder() const { return folder_; }
  // Whether it is of the commit or was created since, and not removed.
  bool holds(const std::string& name) const;
  // What of the folder a manifest names, and so must not be deleted or written again.
  void protect(std::set<std::string> names);
  // The same of one more manifest, until protect() is called.
  void protect_too(const Manifest& manifest);
  // Errors: internal for a protected name, io_error.
  Result<std::shared_ptr<File>> create(const std::string& name);
  // The file that was created under this name, still open; null for those of a commit. They stay open
  // until release().
  std::shared_ptr<File> written(const std::string& name) const;
  void release(const std::string& name);
  // Forgets the file, and removes it unless it is protected.
  void remove(const std::string& name);
  // The first write that failed since this was asked last; Lucene++ may have swallowed it.
  Status take_write_status() { return std::exchange(*write_status_, Status()); }

  Lucene::HashSet<Lucene::String> listAll() override;
  bool fileExists(const Lucene::String& name) override;
  uint64_t fileModified(const Lucene::String& name) override;
  int64_t fileLength(const Lucene::String& name) override;
  Lucene::IndexInputPtr openInput(const Lucene::String& name) override;
  void touchFile(const Lucene::String& name) override;
  void deleteFile(const Lucene::String& name) override;
  Lucene::IndexOutputPtr createOutput(const Lucene::String& name) override;
  void sync(const Lucene::String&) override {}
  void close() override {}

 private:
  std::string path_of(const Lucene::String& name) const;

  const std::string folder_;
  mutable std::mutex mutex_;   // of what follows
  std::set<std::string> names_;
  std::set<std::string> protected_;
  std::map<std::string, std::shared_ptr<File>> written_;
  std::shared_ptr<Status> write_status_ = std::make_shared<Status>();
};

}  // namespace wenqu::retrieval
