#include "retrieval/sync/folder_sync.h"

#include <algorithm>
#include <chrono>
#include <exception>
#include <filesystem>
#include <new>
#include <optional>
#include <span>
#include <utility>

#include <fmt/format.h>

#include "base/sha256.h"
#include "retrieval/documents/file.h"

namespace wenqu::retrieval {
namespace {

namespace fs = std::filesystem;

// A file changed this short a time ago may change again without its time telling.
constexpr int64_t kRecentNs = 2'000'000'000;

int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

// "" when it cannot be read, which reading it will tell.
std::string hash_of(const std::string& path, const CancelToken& cancel) {
  Result<InputFile> file = InputFile::open(path);
  if (!file) return {};
  Sha256 hash;
  std::string block;
  do {
    if (cancel.cancelled() || !file->read(256 << 10, block)) return {};
    hash.add(std::as_bytes(std::span(block)));
  } while (!block.empty());
  const Sha256::Digest digest = hash.finish();
  return {digest.begin(), digest.end()};
}

std::string absolute(const std::string& path) {
  std::string normal = fs::absolute(path).lexically_normal().string();
  while (normal.size() > 1 && normal.ends_with('/')) normal.pop_back();
  return normal;
}

// Both absolute.
bool is_under(const std::string& path, const std::string& folder) {
  return path.size() > folder.size() && path.starts_with(folder) && (folder.ends_with('/') || path[folder.size()] == '/');
}

template <typename Call>
Status guarded(const std::string& where, Call&& call) {
  try {
    return call();
  } catch (const std::bad_alloc&) {
    return Status(StatusCode::out_of_memory, "no memory to follow the files", where);
  } catch (const std::exception& error) {
    return Status(StatusCode::io_error, std::string("cannot follow the files: ") + error.what(), where);
  }
}

// Of the text and of who may find it: one that not the same people may find is no copy, or they would learn of it, or miss it.
std::optional<Signature> signature_for(const Document& document) {
  std::optional<Signature> signature = signature_of(document.text);
  if (!signature || document.acl.empty()) return signature;
  Sha256 hash;
  for (const std::string& name : std::set(document.acl.begin(), document.acl.end())) {
    hash.add(std::as_bytes(std::span(name)));
    hash.add(std::as_bytes(std::span("", 1)));   // ends the name
  }
  const Sha256::Digest digest = hash.finish();
  for (size_t bin = 0; bin < kSignatureBins; ++bin) {
    const size_t at = bin * 4 % digest.size();
    (*signature)[bin] ^= uint32_t{digest[at]} | uint32_t{digest[at + 1]} << 8 | uint32_t{digest[at + 2]} << 16 | uint32_t{digest[at + 3]} << 24;
  }
  return signature;
}

std::string options_key(const SyncOptions& options) {
  return fmt::format("{} {} {}", source_name(options.read.source), static_cast<int>(options.duplicates), options.read.max_file_bytes);
}

}  // namespace

FolderSync::FolderSync(Index& index, std::string index_directory, const SyncOptions& options, SyncSink sink)
    : index_(index), directory_(std::move(index_directory)), options_(options), sink_(std::move(sink)),
      state_(SyncState::load(directory_, index.stats().commit)) {
  for (const auto& [path, file] : state_.files)
    for (const std::string& id : file.ids) ++owners_[id];
}

void FolderSync::tell(const Status& problem) {
  ++counts_.problems;
  if (sink_.problem) sink_.problem(problem);
}

Status FolderSync::sync(const std::string& folder, const CancelToken& cancel) {
  return guarded(folder, [&] { return sync_folder(folder, cancel); });
}

Status FolderSync::add_file(const std::string& path, const CancelToken& cancel) {
  return guarded(path, [&] { return add_named_file(path, cancel); });
}

Status FolderSync::commit() {
  return guarded(directory_, [&] { return commit_and_save(); });
}

Status FolderSync::sync_folder(const std::string& folder, const CancelToken& cancel) {
  std::error_code error;
  if (fs::status(folder, error).type() == fs::file_type::not_found)
    return Status(StatusCode::not_found, "there is no such file or folder", folder);
  // The state knows files by absolute paths, whatever the working directory; documents have the paths as given.
  const std::string root = absolute(folder);
  const std::string index_inside = (fs::path(folder) / fs::path(absolute(directory_)).lexically_relative(root)).lexically_normal().string();
  Result<FoundFiles> listed = find_files(folder, index_inside, cancel, [this](const Status& problem) { tell(problem); });
  if (!listed) return listed.status().code() == StatusCode::io_error ? Status(StatusCode::io_error, listed.status().message(), folder) : listed.status();
  const FoundFiles& found = *listed;
  std::erase_if(folders_, [&](const std::string& known) { return absolute(known) == root || is_under(absolute(known), root); });
  folders_.insert(found.folders.begin(), found.folders.end());
  touched_.clear();
  WENQU_RETURN_IF_ERROR(remove_vanished(root, found));
  for (const FoundFile& file : found.files) {
    WENQU_RETURN_IF_ERROR(sync_file(file, cancel));
    if (sink_.progress) sink_.progress(counts_);
  }
  return reread_freed(found, cancel);
}

Status FolderSync::sync_file(const FoundFile& file, const CancelToken& cancel) {
  WENQU_RETURN_IF_ERROR(cancel.status());
  const std::string path = absolute(file.path);
  const auto known = state_.files.find(path);
  const bool comparable = known != state_.files.end() && known->second.settled && !options_.read_all &&
                          known->second.options == options_key(options_);
  if (comparable && known->second.size == file.size && known->second.changed_ns == file.changed_ns) {
    ++counts_.unchanged;
    return {};
  }
  const bool recent = now_ns() - file.changed_ns < kRecentNs;
  if (options_.follows && recent && file.size == 0 && known == state_.files.end()) return {};
  std::string hash = hash_of(file.path, cancel);
  if (comparable && !hash.empty() && known->second.hash == hash) {
    ++counts_.unchanged;
    if (!recent) {
      known->second.changed_ns = file.changed_ns;
      changed_ = true;
    }
    return {};
  }
  FileState& state = state_.files[path];
  if (state.vanished) state = {};   // and is back before the removal was in a commit
  state.size = file.size;
  state.changed_ns = recent ? 0 : file.changed_ns;
  state.hash = std::move(hash);
  state.options = options_key(options_);
  return read(file.path, path, state, cancel);
}

// Reads a file anew. Documents that it had and has no more are removed.
Status FolderSync::read(const std::string& name, const std::string& path, FileState& state, const CancelToken& cancel) {
  state.settled = false;
  state.duplicates_of.clear();
  pending_.erase(path);
  Given given{state, {state.ids.begin(), state.ids.end()}, {}};
  bool vanished = false;   // since the folder was listed, before anything was read
  ReadSink sink;
  sink.document = [&](Document&& document) { return add(std::move(document), given); };
  sink.problem = [&](const Status& problem) {
    std::error_code error;
    vanished = given.now.empty() && fs::symlink_status(name, error).type() == fs::file_type::not_found;
    if (vanished) return;
    tell(problem);
  };
  WENQU_ASSIGN_OR_RETURN(const ReadCounts counts, read_file(name, options_.read, sink, cancel));
  counts_.bytes += counts.bytes;
  if (vanished) return vanish(path, state);
  // One that holds nothing any more is one thing, one that cannot be read (half written, say) another.
  if (counts.ended_early) return {};
  std::vector<std::string> gone;
  if (counts.left_out == 0) {
    for (const std::string& id : state.ids)
      if (!given.now.contains(id)) gone.push_back(id);
    state.ids.assign(given.now.begin(), given.now.end());
  }
  pending_.insert(path);
  changed_ = true;
  return remove_documents(gone);
}

Status FolderSync::add(Document&& document, Given& given) {
  const std::string id = document.id;
  state_.similar.remove(id);   // what was known of its former text
  if (options_.duplicates != DuplicatePolicy::keep) {
    const std::optional<Signature> signature = signature_for(document);
    const std::optional<std::string> same = signature ? state_.similar.find(*signature) : std::nullopt;
    if (same) {
      ++counts_.duplicates;
      given.state.duplicates_of.push_back(*same);
      if (options_.duplicates == DuplicatePolicy::drop) return {};
      document.attributes["near_duplicate_of"] = *same;
    } else if (signature) {
      state_.similar.add(id, *signature);
    }
  }
  // Known before it is in the index: a commit in the middle of the file saves it too.
  const bool had_it = given.before.contains(id);
  if (given.now.insert(id).second && !had_it) {
    given.state.ids.push_back(id);
    ++owners_[id];
  }
  if (had_it) touched_.insert(id);
  const Status added = index_.add(document);
  if (added.code() == StatusCode::invalid_argument || added.code() == StatusCode::limit_exceeded) {
    tell(added.at(id.substr(0, 200)));
    return {};
  }
  WENQU_RETURN_IF_ERROR(added);
  changed_ = true;
  ++counts_.documents;
  if (counts_.documents - committed_documents_ >= options_.commit_every) return commit();
  return {};
}

Status FolderSync::remove_vanished(const std::string& root, const FoundFiles& found) {
  std::set<std::string> there, closed;
  for (const FoundFile& file : found.files) there.insert(absolute(file.path));
  for (const std::string& folder : found.closed_folders) closed.insert(absolute(folder));
  for (auto& [path, file] : state_.files) {
    const bool unknown = std::any_of(closed.begin(), closed.end(), [&](const std::string& folder) { return is_under(path, folder); });
    if (file.vanished || !is_under(path, root) || there.contains(path) || unknown) continue;
    WENQU_RETURN_IF_ERROR(vanish(path, file));
  }
  return {};
}

// A file that is no more stays in the state until the removal of its documents is in a commit.
Status FolderSync::vanish(const std::string& path, FileState& file) {
  file.vanished = true;
  file.settled = false;
  pending_.erase(path);
  changed_ = true;
  return remove_documents(file.ids);
}

// Takes documents from a file that had them. One that another file gave too stays.
Status FolderSync::remove_documents(const std::vector<std::string>& ids) {
  std::set<std::string> shared;   // whose text may be that of the file that gives them up
  for (const std::string& id : ids) {
    const auto owners = owners_.find(id);
    if (owners != owners_.end() && --owners->second > 0) {
      shared.insert(id);
      continue;
    }
    if (owners != owners_.end()) owners_.erase(owners);
    WENQU_RETURN_IF_ERROR(index_.remove(id));
    state_.similar.remove(id);
    touched_.insert(id);
    changed_ = true;
    ++counts_.removed;
  }
  unsettle(shared);
  return {};
}

// Files that give any of the documents are to be read again: in this sync, or else in the next of their folder.
void FolderSync::unsettle(const std::set<std::string>& ids) {
  if (ids.empty()) return;
  for (auto& [path, file] : state_.files) {
    if (file.vanished || std::none_of(file.ids.begin(), file.ids.end(), [&](const std::string& id) { return ids.contains(id); })) continue;
    file.settled = false;
    pending_.erase(path);
    reread_.insert(path);
    changed_ = true;
  }
}

// What was marked or left out for the sake of a document that is gone or another now, and what gives a document that another
// file gave last.
Status FolderSync::reread_freed(const FoundFiles& found, const CancelToken& cancel) {
  if (touched_.empty() && reread_.empty()) return {};
  for (const FoundFile& file : found.files) {
    const std::string path = absolute(file.path);
    const auto known = state_.files.find(path);
    if (known == state_.files.end()) continue;
    const std::vector<std::string>& originals = known->second.duplicates_of;
    const bool freed = std::any_of(originals.begin(), originals.end(), [&](const std::string& id) { return touched_.contains(id); });
    const bool unsettled = reread_.erase(path) > 0 && !pending_.contains(path);   // not read since
    if (!freed && !unsettled) continue;
    WENQU_RETURN_IF_ERROR(cancel.status());
    WENQU_RETURN_IF_ERROR(read(file.path, path, known->second, cancel));
  }
  return {};
}

Status FolderSync::remove_document(const std::string& id) {
  return guarded(id, [&]() -> Status {
    const bool absent = index_.fetch(id).status().code() == StatusCode::not_found;
    WENQU_RETURN_IF_ERROR(index_.remove(id));
    state_.similar.remove(id);
    for (auto& [path, file] : state_.files)
      if (std::find(file.duplicates_of.begin(), file.duplicates_of.end(), id) != file.duplicates_of.end()) file.settled = false, pending_.erase(path);
    changed_ = true;
    if (absent) return Status(StatusCode::not_found, "cannot be removed: no document has this id", id);
    ++counts_.removed;
    return {};
  });
}

Status FolderSync::add_named_file(const std::string& path, const CancelToken& cancel) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (status.type() == fs::file_type::not_found)
    return Status(StatusCode::not_found, "there is no such file or folder", path);
  const Result<InputFile> probe = InputFile::open(path);
  if (!probe) return probe.status();
  // What the file gives is added to what is there: whoever names one does not say what else shall go.
  FileState state;
  ReadSink sink;
  sink.document = [&](Document&& document) {
    Given given{state, {}, {}};
    const Status added = add(std::move(document), given);
    state.ids.clear();
    return added;
  };
  sink.problem = [this](const Status& problem) { tell(problem); };
  WENQU_ASSIGN_OR_RETURN(const ReadCounts counts, read_file(fs::path(path).lexically_normal().string(), options_.read, sink, cancel));
  counts_.bytes += counts.bytes;
  if (sink_.progress) sink_.progress(counts_);
  return {};
}

Status FolderSync::commit_and_save() {
  std::error_code error;
  const bool kept = !state_.files.empty() || state_.similar.size() > 0 || fs::exists(directory_ + "/" + kSyncStateName, error);
  const uint64_t before = index_.stats().commit;
  state_.commit = before;
  if (changed_ && kept) WENQU_RETURN_IF_ERROR(state_.save(directory_));
  WENQU_RETURN_IF_ERROR(index_.commit());
  committed_documents_ = counts_.documents;
  for (const std::string& path : pending_) state_.files[path].settled = true;
  pending_.clear();
  std::erase_if(state_.files, [](const auto& entry) { return entry.second.vanished; });
  state_.commit = index_.stats().commit;
  if (changed_ && kept) WENQU_RETURN_IF_ERROR(state_.save(directory_));
  changed_ = false;
  if (sink_.committed) sink_.committed(counts_);
  return {};
}

}  // namespace wenqu::retrieval
