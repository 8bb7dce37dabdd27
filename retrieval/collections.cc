#include "retrieval/collections.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <system_error>

#include "retrieval/store/file.h"
#include "retrieval/store/manifest.h"
#include "retrieval/store/write_lock.h"

namespace wenqu::retrieval {
namespace {

constexpr size_t kMaxName = 64;
// What is being dropped gets such a name first, so that it is gone in one step.
constexpr const char* kDropped = ".dropped-";

bool is_name(const std::string& name) {
  return !name.empty() && name.size() <= kMaxName && std::isalnum(static_cast<unsigned char>(name[0])) &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_' || c == '.';
         });
}

Status failed(const char* what, const std::error_code& error, const std::string& path) {
  return Status(StatusCode::io_error, std::string("cannot ") + what + ": " + error.message(), path);
}

}  // namespace

Result<Collections> Collections::open(const std::string& directory) {
  if (directory.empty()) return Status(StatusCode::invalid_argument, "the collections need a directory");
  return Collections(directory);
}

Result<std::string> Collections::path_of(const std::string& name) const {
  if (is_name(name)) return directory_ + "/" + name;
  return Status(StatusCode::invalid_argument,
                "a collection is named by 1 to 64 letters, digits, '-', '_' and '.', the first a letter or digit", name);
}

Result<std::vector<std::string>> Collections::names() const {
  std::vector<std::string> names;
  WENQU_ASSIGN_OR_RETURN(const bool there_is_one, exists(directory_));
  if (!there_is_one) return names;
  std::error_code error;
  std::filesystem::directory_iterator entries(directory_, error), end;
  for (; !error && entries != end; entries.increment(error)) {
    const std::string name = entries->path().filename().string();
    if (!is_name(name)) continue;
    WENQU_ASSIGN_OR_RETURN(const bool there, exists(IndexPaths(directory_ + "/" + name).manifest));
    if (there) names.push_back(name);
  }
  if (error) return failed("list the collections", error, directory_);
  std::sort(names.begin(), names.end());
  return names;
}

Status Collections::create(const std::string& name) const {
  WENQU_ASSIGN_OR_RETURN(const std::string path, path_of(name));
  WENQU_ASSIGN_OR_RETURN(const bool there, exists(path));
  if (there) return Status(StatusCode::invalid_argument, "there is something of this name already", path);
  WENQU_RETURN_IF_ERROR(create_directories(directory_));
  WENQU_ASSIGN_OR_RETURN(const auto index, Index::open(path, Index::Mode::write));
  return index->commit();
}

Status Collections::drop(const std::string& name) const {
  WENQU_ASSIGN_OR_RETURN(const std::string path, path_of(name));
  const IndexPaths paths(path);
  WENQU_ASSIGN_OR_RETURN(const bool there, exists(paths.manifest));
  if (!there) return Status(StatusCode::not_found, "there is no collection of this name", path);
  WENQU_ASSIGN_OR_RETURN(const WriteLock lock, WriteLock::acquire(paths.directory, paths.lock));
  std::string gone = directory_ + "/" + kDropped + name;
  std::error_code error;
  std::filesystem::remove_all(gone, error);   // of a time before that did not come to its end
  if (error) return failed("remove", error, gone);
  std::filesystem::rename(path, gone, error);
  if (error) return failed("rename", error, path);
  WENQU_RETURN_IF_ERROR(sync_directory(directory_));
  std::filesystem::remove_all(gone, error);
  return error ? failed("remove", error, gone) : Status();
}

Result<std::unique_ptr<Index>> Collections::open_index(const std::string& name, Index::Mode mode,
                                                       const IndexOptions& options) const {
  WENQU_ASSIGN_OR_RETURN(const std::string path, path_of(name));
  WENQU_ASSIGN_OR_RETURN(const bool there, exists(IndexPaths(path).manifest));
  if (!there) return Status(StatusCode::not_found, "there is no collection of this name", path);
  return Index::open(path, mode, options);
}

Result<std::unique_ptr<Index>> Collections::open_together(const std::vector<std::string>& names) const {
  std::vector<std::string> directories;
  for (const std::string& name : names) {
    WENQU_ASSIGN_OR_RETURN(std::string path, path_of(name));
    WENQU_ASSIGN_OR_RETURN(const bool there, exists(IndexPaths(path).manifest));
    if (!there) return Status(StatusCode::not_found, "there is no collection of this name", path);
    directories.push_back(std::move(path));
  }
  return Index::open_together(directories);
}

}  // namespace wenqu::retrieval
