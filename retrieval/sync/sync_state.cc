#include "retrieval/sync/sync_state.h"

#include <algorithm>
#include <array>

#include "retrieval/store/coding.h"
#include "retrieval/store/crc32c.h"
#include "retrieval/store/file.h"

namespace wenqu::retrieval {
namespace {

// Raised with the form of the state, and with the readers, whose better reading is wanted for unchanged files too.
constexpr std::string_view kStateMagic = "wenqu-files 3\n";
constexpr std::array<std::string_view, 2> kOlderMagics = {"wenqu-files 1\n", "wenqu-files 2\n"};   // as long
constexpr size_t kMaxBytes = size_t{1} << 30;

std::string path_in(const std::string& index_directory) { return index_directory + "/" + kSyncStateName; }

std::vector<std::string> read_strings(Decoder& in) {
  std::vector<std::string> strings;
  for (uint64_t left = in.number(); left > 0 && !in.failed(); --left) strings.push_back(in.string());
  return strings;
}

void put_strings(std::string& out, const std::vector<std::string>& strings) {
  put_number(out, strings.size());
  for (const std::string& string : strings) put_string(out, string);
}

bool decode(std::string_view bytes, SyncState& state) {
  Decoder in(bytes);
  state.commit = in.number();
  for (uint64_t left = in.number(); left > 0 && !in.failed(); --left) {
    FileState& file = state.files[in.string()];
    file.size = in.number();
    file.changed_ns = static_cast<int64_t>(in.number());
    file.hash = in.string();
    file.options = in.string();
    file.ids = read_strings(in);
    file.duplicates_of = read_strings(in);
    file.settled = in.number() == 1;
  }
  const std::string similar = in.string();
  return in.finished() && state.similar.decode(similar);
}

}  // namespace

SyncState SyncState::load(const std::string& index_directory, uint64_t index_commit) {
  const Result<std::string> content = read_whole_file(path_in(index_directory), kMaxBytes);
  const bool older = content && std::any_of(kOlderMagics.begin(), kOlderMagics.end(), [&](std::string_view magic) { return content->starts_with(magic); });
  if (!content || (!older && !content->starts_with(kStateMagic)) || content->size() < kStateMagic.size() + 4) return {};
  const std::string_view payload = std::string_view(*content).substr(kStateMagic.size(), content->size() - kStateMagic.size() - 4);
  uint32_t stored = 0;
  for (size_t i = 4; i > 0; --i) stored = stored << 8 | static_cast<unsigned char>((*content)[content->size() - 5 + i]);
  SyncState state;
  if (stored != crc32c(payload) || !decode(payload, state)) return {};
  if (older) state.similar = {};   // which did not know who may find a document
  if (older || state.commit > index_commit)
    for (auto& [path, file] : state.files) file.settled = false;
  return state;
}

Status SyncState::save(const std::string& index_directory) const {
  std::string payload;
  put_number(payload, commit);
  put_number(payload, files.size());
  for (const auto& [path, file] : files) {
    put_string(payload, path);
    put_number(payload, file.size);
    put_number(payload, static_cast<uint64_t>(file.changed_ns));
    put_string(payload, file.hash);
    put_string(payload, file.options);
    put_strings(payload, file.ids);
    put_strings(payload, file.duplicates_of);
    put_number(payload, file.settled);
  }
  put_string(payload, similar.encode());
  std::string content(kStateMagic);
  content += payload;
  uint32_t crc = crc32c(payload);
  for (int i = 0; i < 4; ++i, crc >>= 8) content += static_cast<char>(crc & 0xFF);
  WENQU_RETURN_IF_ERROR(write_replacement(path_in(index_directory), content));
  WENQU_RETURN_IF_ERROR(install_replacement(path_in(index_directory)));
  return sync_directory(index_directory);
}

}  // namespace wenqu::retrieval
