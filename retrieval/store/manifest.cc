#include "retrieval/store/manifest.h"

#include <algorithm>
#include <charconv>
#include <cstdio>

#include "retrieval/analysis/analyzer.h"
#include "retrieval/store/crc32c.h"

namespace wenqu::retrieval {
namespace {

constexpr size_t kMaxManifestBytes = size_t{16} << 20;
constexpr std::string_view kRebuild = "index the documents again into an empty folder";

std::string hex(uint32_t value) {
  char digits[9];
  std::snprintf(digits, sizeof digits, "%08x", value);
  return digits;
}

// Takes "KEY REST\n" off the front of `text` and gives REST.
bool take_line(std::string_view& text, std::string_view key, std::string_view& rest) {
  const size_t end = text.find('\n');
  if (end == std::string_view::npos || text.substr(0, key.size()) != key || key.size() >= end ||
      text[key.size()] != ' ')
    return false;
  rest = text.substr(key.size() + 1, end - key.size() - 1);
  text.remove_prefix(end + 1);
  return true;
}

template <typename T>
bool parse_number(std::string_view digits, T& value, int base = 10) {
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
  return error == std::errc() && end == digits.data() + digits.size();
}

// Names come from a file, so they must not lead out of the folder.
bool is_plain_name(std::string_view name) {
  return !name.empty() && name.size() <= 64 && name[0] != '.' &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.';
         });
}

bool parse_file(std::string_view line, ManifestFile& file) {
  const size_t first = line.find(' ');
  const size_t second = first == std::string_view::npos ? first : line.find(' ', first + 1);
  if (second == std::string_view::npos) return false;
  file.name = line.substr(second + 1);
  return parse_number(line.substr(0, first), file.bytes) &&
         parse_number(line.substr(first + 1, second - first - 1), file.crc, 16) &&
         is_plain_name(file.name);
}

Status version_mismatch(const char* what, int found, int known) {
  std::string text = std::string("the index has ") + what + " version " + std::to_string(found) + ", this build has " +
                     std::to_string(known) + ": ";
  if (found > known)
    text += "it was written by a newer wenqu: use that one, or " + std::string(kRebuild);
  else
    text += "`wenqu migrate DIR` brings it to this version, or " + std::string(kRebuild);
  return Status(StatusCode::version_mismatch, std::move(text));
}

}  // namespace

IndexPaths::IndexPaths(const std::string& root)
    : directory(root),
      manifest(root + "/manifest"),
      previous_manifest(root + "/manifest.prev"),
      lock(root + "/lock"),
      lucene(root + "/lucene"),
      vectors(root + "/vectors") {}

std::string format_manifest(const Manifest& manifest) {
  std::string text = "wenqu-index " + std::to_string(kIndexFormatVersion) + "\nanalysis " +
                     std::to_string(manifest.analysis) + "\ncommit " + std::to_string(manifest.commit) + "\n";
  for (const ManifestFile& file : manifest.files)
    text += "file " + std::to_string(file.bytes) + " " + hex(file.crc) + " " + file.name + "\n";
  for (const ManifestFile& file : manifest.vectors)
    text += "vectors " + std::to_string(file.bytes) + " " + hex(file.crc) + " " + file.name + "\n";
  return text + "crc32c " + hex(crc32c(text)) + "\n";
}

Result<Manifest> parse_manifest(std::string_view text, Analyses analyses) {
  const Status corrupt(StatusCode::corrupt, "the manifest is damaged");
  // The checksum comes first: a flipped bit must not pass for another version.
  constexpr size_t kTrailer = sizeof("crc32c 01234567\n") - 1;
  if (text.size() < kTrailer) return corrupt;
  const std::string_view body = text.substr(0, text.size() - kTrailer);
  if (text.substr(body.size()) != "crc32c " + hex(crc32c(body)) + "\n") return corrupt;

  std::string_view rest = body;
  std::string_view value;
  int version = 0;
  if (!take_line(rest, "wenqu-index", value) || !parse_number(value, version)) return corrupt;
  if (version != kIndexFormatVersion) return version_mismatch("format", version, kIndexFormatVersion);
  if (!take_line(rest, "analysis", value) || !parse_number(value, version)) return corrupt;
  if (version > kAnalysisVersion || (version < kAnalysisVersion && analyses == Analyses::this_only))
    return version_mismatch("analysis", version, kAnalysisVersion);

  Manifest manifest;
  manifest.analysis = version;
  if (!take_line(rest, "commit", value) || !parse_number(value, manifest.commit)) return corrupt;
  while (take_line(rest, "file", value)) {
    ManifestFile file;
    if (!parse_file(value, file)) return corrupt;
    manifest.files.push_back(std::move(file));
  }
  while (take_line(rest, "vectors", value)) {
    ManifestFile file;
    if (!parse_file(value, file)) return corrupt;
    manifest.vectors.push_back(std::move(file));
  }
  if (!rest.empty()) return corrupt;
  return manifest;
}

Result<Manifest> read_manifest(const std::string& path, Analyses analyses) {
  auto text = read_whole_file(path, kMaxManifestBytes);
  if (!text) {
    if (text.status().code() == StatusCode::limit_exceeded)
      return Status(StatusCode::corrupt, "the manifest is damaged", path);
    return text.status();
  }
  auto manifest = parse_manifest(*text, analyses);
  if (!manifest) return manifest.status().at(path);
  return manifest;
}

Status verify_file(const File& file, const ManifestFile& entry) {
  WENQU_ASSIGN_OR_RETURN(const uint64_t size, file.size());
  if (size != entry.bytes)
    return Status(StatusCode::corrupt,
                  "is " + std::to_string(size) + " bytes long, was committed with " + std::to_string(entry.bytes),
                  file.path());
  WENQU_ASSIGN_OR_RETURN(const uint32_t crc, file.checksum(size));
  if (crc != entry.crc) return Status(StatusCode::corrupt, "the content fails its checksum", file.path());
  return {};
}

Status write_manifest(const IndexPaths& paths, const Manifest& manifest) {
  auto standing = read_whole_file(paths.manifest, kMaxManifestBytes);
  if (!standing && standing.status().code() != StatusCode::not_found) return standing.status();
  // All that needs space comes first: from here on a commit is two renames.
  WENQU_RETURN_IF_ERROR(write_replacement(paths.manifest, format_manifest(manifest)));
  if (standing) {
    WENQU_RETURN_IF_ERROR(write_replacement(paths.previous_manifest, *standing));
    WENQU_RETURN_IF_ERROR(install_replacement(paths.previous_manifest));
  }
  WENQU_RETURN_IF_ERROR(install_replacement(paths.manifest));
  const Status synced = sync_directory(paths.directory);
  // The new manifest is visible but may not last: the old one comes back, so that a failed commit
  // is not half there. Should a power cut undo that, the new commit is whole too: its files are
  // durable, and no writer removes any before it has synchronised the directory.
  if (!synced && standing && write_replacement(paths.manifest, *standing))
    (void)install_replacement(paths.manifest).is_ok();
  return synced;
}

Status replace_manifest(const IndexPaths& paths, const Manifest& manifest) {
  WENQU_RETURN_IF_ERROR(write_replacement(paths.manifest, format_manifest(manifest)));
  WENQU_RETURN_IF_ERROR(install_replacement(paths.manifest));
  return sync_directory(paths.directory);
}

Status restore_previous_manifest(const IndexPaths& paths) {
  WENQU_ASSIGN_OR_RETURN(const std::string text, read_whole_file(paths.previous_manifest, kMaxManifestBytes));
  WENQU_RETURN_IF_ERROR(write_replacement(paths.manifest, text));
  WENQU_RETURN_IF_ERROR(install_replacement(paths.manifest));
  return sync_directory(paths.directory);
}

}  // namespace wenqu::retrieval
