#include "retrieval/documents/find_files.h"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>

#include "retrieval/documents/file_type.h"

namespace wenqu::retrieval {
namespace {

namespace fs = std::filesystem;

class Walk {
 public:
  Walk(const std::string& except, const CancelToken& cancel, const std::function<void(const Status&)>& problem)
      : except_(except), cancel_(cancel), problem_(problem) {}

  Status run(const fs::path& folder, bool is_root) {
    std::error_code error;
    std::vector<fs::directory_entry> entries;
    fs::directory_iterator it(folder, error), end;
    for (; !error && it != end; it.increment(error)) entries.push_back(*it);
    found.folders.push_back(folder.string());
    if (error) {
      const Status status(StatusCode::io_error, "cannot list the folder: " + error.message(), folder.string());
      if (is_root && entries.empty()) return status;
      found.closed_folders.push_back(folder.string());
      problem_(status);
    }
    std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) {
      return a.path().filename().string() < b.path().filename().string();
    });
    for (const fs::directory_entry& entry : entries) {
      WENQU_RETURN_IF_ERROR(cancel_.status());
      const std::string path = entry.path().string();
      if (entry.path().filename().string().starts_with('.') || entry.path().lexically_normal().string() == except_) continue;
      std::error_code ignored;
      if (entry.is_directory(ignored)) {
        if (!entry.is_symlink(ignored)) WENQU_RETURN_IF_ERROR(run(entry.path(), false));
      } else if (file_type(path) != FileType::unknown) {
        add(path);
      }
    }
    return {};
  }

  FoundFiles found;

 private:
  // One that cannot be looked at is told when it is read.
  void add(const std::string& path) {
    FoundFile file{path};
    struct stat info {};
    if (::stat(path.c_str(), &info) == 0) {
      file.size = static_cast<uint64_t>(info.st_size);
      file.changed_ns = static_cast<int64_t>(info.st_mtim.tv_sec) * 1'000'000'000 + info.st_mtim.tv_nsec;
    }
    found.files.push_back(std::move(file));
  }

  const std::string& except_;
  const CancelToken& cancel_;
  const std::function<void(const Status&)>& problem_;
};

}  // namespace

Result<FoundFiles> find_files(const std::string& folder, const std::string& except, const CancelToken& cancel,
                              const std::function<void(const Status&)>& problem) {
  try {
    Walk walk(except, cancel, problem);
    WENQU_RETURN_IF_ERROR(walk.run(fs::path(folder).lexically_normal(), /*is_root=*/true));
    return std::move(walk.found);
  } catch (const std::bad_alloc&) {
    return Status(StatusCode::out_of_memory, "no memory to list the files", folder);
  } catch (const std::exception& error) {
    return Status(StatusCode::io_error, std::string("cannot be listed: ") + error.what(), folder);
  }
}

}  // namespace wenqu::retrieval
