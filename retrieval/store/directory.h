// The two faces that our files show to Lucene++: a commit that is only read, and the folder as its
// writer sees it. Lucene++'s own directories ignore failed writes and report lost commits as done.
//
// Lucene++ is given no say in what lasts: its sync is a no-op and its deletions of committed files
// only hide them. What is durable and what is garbage is decided by the writer, by manifests.
#pragma once

#include <lucene++/LuceneHeaders.h>
#include <lucene++/NoLockFactory.h>

#include <map>
#include <memory>
#include <set>
#include <string>

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
// deletes meanwhile. Thread safety: immutable.
class CommitDirectory : public Lucene::Directory {
 public:
  explicit CommitDirectory(CommittedFiles files);

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

// The folder of an index while it is written. Thread safety: used by one thread at a time.
class WriterDirectory : public Lucene::Directory {
 public:
  // Sees the files of `committed` (null: none) and those it creates.
  WriterDirectory(std::string folder, const Manifest* committed);

  // The names Lucene++ believes to exist.
  const std::set<std::string>& names() const { return names_; }
  // What of the folder a manifest names, and so must not be deleted or written again.
  void protect(std::set<std::string> names) { protected_ = std::move(names); }
  // The file that was created under this name, still open; null for those of a commit. They stay open
  // until release_written().
  std::shared_ptr<File> written(const std::string& name) const;
  void release_written() { written_.clear(); }
  // The first write that failed since this object was made; Lucene++ may have swallowed it.
  Status write_status() const { return *write_status_; }

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

  std::string folder_;
  std::set<std::string> names_;
  std::set<std::string> protected_;
  std::map<std::string, std::shared_ptr<File>> written_;
  std::shared_ptr<Status> write_status_ = std::make_shared<Status>();
};

}  // namespace wenqu::retrieval
