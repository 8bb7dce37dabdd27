#include "retrieval/store/directory.h"

#include <lucene++/NoLockFactory.h>

#include "retrieval/store/lucene_call.h"
#include "retrieval/store/stream.h"

namespace wenqu::retrieval {
namespace {

using Lucene::String;

[[noreturn]] void throw_not_found(const String& name) {
  boost::throw_exception(Lucene::FileNotFoundException(name));
}

[[noreturn]] void throw_read_only() {
  boost::throw_exception(Lucene::UnsupportedOperationException(L"a commit is read-only"));
}

}  // namespace

CommitDirectory::CommitDirectory(CommittedFiles files) : files_(std::move(files)) {
  setLockFactory(Lucene::NoLockFactory::getNoLockFactory());
}

void CommitDirectory::lend(const std::string& name, std::shared_ptr<const CommittedFile> file) {
  if (file)
    files_[name] = std::move(file);
  else
    files_.erase(name);
}

const CommittedFile& CommitDirectory::find(const String& name) const {
  const auto found = files_.find(from_wide(name));
  if (found == files_.end()) throw_not_found(name);
  return *found->second;
}

Lucene::HashSet<String> CommitDirectory::listAll() {
  auto names = Lucene::HashSet<String>::newInstance();
  for (const auto& [name, file] : files_) names.add(to_wide(name));
  return names;
}

bool CommitDirectory::fileExists(const String& name) { return files_.contains(from_wide(name)); }

uint64_t CommitDirectory::fileModified(const String&) { return 0; }

int64_t CommitDirectory::fileLength(const String& name) {
  return static_cast<int64_t>(find(name).entry.bytes);
}

Lucene::IndexInputPtr CommitDirectory::openInput(const String& name) {
  const auto found = files_.find(from_wide(name));
  if (found == files_.end()) throw_not_found(name);
  // Shares ownership of the whole entry, points at its file.
  std::shared_ptr<const File> file(found->second, &found->second->file);
  return Lucene::newLucene<FileInput>(file, found->second->entry.bytes);
}

void CommitDirectory::touchFile(const String&) { throw_read_only(); }
void CommitDirectory::deleteFile(const String&) { throw_read_only(); }
Lucene::IndexOutputPtr CommitDirectory::createOutput(const String&) { throw_read_only(); }

WriterDirectory::WriterDirectory(std::string folder, const Manifest* committed)
    : folder_(std::move(folder)) {
  setLockFactory(Lucene::NoLockFactory::getNoLockFactory());
  if (!committed) return;
  for (const ManifestFile& file : committed->files) names_.insert(file.name);
}

std::string WriterDirectory::path_of(const String& name) const { return folder_ + "/" + from_wide(name); }

bool WriterDirectory::holds(const std::string& name) const {
  const std::lock_guard lock(mutex_);
  return names_.contains(name);
}

void WriterDirectory::protect(std::set<std::string> names) {
  const std::lock_guard lock(mutex_);
  protected_ = std::move(names);
}

void WriterDirectory::protect_too(const Manifest& manifest) {
  const std::lock_guard lock(mutex_);
  for (const ManifestFile& file : manifest.files) protected_.insert(file.name);
}

std::shared_ptr<File> WriterDirectory::written(const std::string& name) const {
  const std::lock_guard lock(mutex_);
  const auto found = written_.find(name);
  return found == written_.end() ? nullptr : found->second;
}

void WriterDirectory::release(const std::string& name) {
  const std::lock_guard lock(mutex_);
  written_.erase(name);
}

void WriterDirectory::remove(const std::string& name) {
  {
    const std::lock_guard lock(mutex_);
    names_.erase(name);
    written_.erase(name);
    if (protected_.contains(name)) return;
  }
  // What cannot be removed now is garbage that the next commit removes.
  (void)remove_file(folder_ + "/" + name).is_ok();
}

Result<std::shared_ptr<File>> WriterDirectory::create(const std::string& name) {
  const std::string path = folder_ + "/" + name;
  {
    const std::lock_guard lock(mutex_);
    if (protected_.contains(name)) return Status(StatusCode::internal, "would overwrite a committed file", path);
  }
  WENQU_RETURN_IF_ERROR(remove_file(path));
  WENQU_ASSIGN_OR_RETURN(File file, File::create(path));
  auto shared = std::make_shared<File>(std::move(file));
  const std::lock_guard lock(mutex_);
  names_.insert(name);
  written_[name] = shared;
  return shared;
}

Lucene::HashSet<String> WriterDirectory::listAll() {
  const std::lock_guard lock(mutex_);
  auto names = Lucene::HashSet<String>::newInstance();
  for (const std::string& name : names_) names.add(to_wide(name));
  return names;
}

bool WriterDirectory::fileExists(const String& name) { return holds(from_wide(name)); }

uint64_t WriterDirectory::fileModified(const String&) { return 0; }

void WriterDirectory::touchFile(const String&) {}

int64_t WriterDirectory::fileLength(const String& name) {
  if (!fileExists(name)) throw_not_found(name);
  auto file = File::open(path_of(name));
  if (!file) throw_lucene_io(file.status());
  const auto size = file->size();
  if (!size) throw_lucene_io(size.status());
  return static_cast<int64_t>(*size);
}

Lucene::IndexInputPtr WriterDirectory::openInput(const String& name) {
  if (!fileExists(name)) throw_not_found(name);
  auto file = File::open(path_of(name));
  if (!file) throw_lucene_io(file.status());
  const auto size = file->size();
  if (!size) throw_lucene_io(size.status());
  std::shared_ptr<const File> shared = std::make_shared<File>(std::move(*file));
  return Lucene::newLucene<FileInput>(shared, *size);
}

void WriterDirectory::deleteFile(const String& name) {
  if (!fileExists(name)) throw_not_found(name);
  remove(from_wide(name));
}

Lucene::IndexOutputPtr WriterDirectory::createOutput(const String& name) {
  auto file = create(from_wide(name));
  if (file) return Lucene::newLucene<FileOutput>(*file, write_status_);
  if (*write_status_) *write_status_ = file.status();
  throw_lucene_io(file.status());
}

}  // namespace wenqu::retrieval
