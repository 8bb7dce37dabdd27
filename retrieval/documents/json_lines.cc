#include "retrieval/documents/json_lines.h"

#include <algorithm>
#include <string>

namespace wenqu::retrieval {
namespace {

constexpr size_t kBlockBytes = 256 << 10;

}  // namespace

Status for_each_line(InputFile& file, uint64_t max_line_bytes, const CancelToken& cancel, uint64_t& bytes,
                     const std::function<Status(const JsonLine&)>& line) {
  std::string block, pending;  // `pending` holds a line that blocks cut apart
  uint64_t number = 0;
  bool too_long = false;

  const auto finish_line = [&](std::string_view text) -> Status {
    ++number;
    if (number == 1 && text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
    if (text.ends_with('\r')) text.remove_suffix(1);
    JsonLine made{text, number, too_long || text.size() > max_line_bytes};
    too_long = false;
    if (made.too_long) made.text = {};
    if (!made.too_long && text.find_first_not_of(" \t\r") == std::string_view::npos) return {};
    WENQU_RETURN_IF_ERROR(cancel.status());
    return line(made);
  };

  for (;;) {
    WENQU_RETURN_IF_ERROR(cancel.status());
    WENQU_RETURN_IF_ERROR(file.read(kBlockBytes, block));
    if (block.empty()) break;
    bytes += block.size();
    std::string_view rest = block;
    for (size_t end; (end = rest.find('\n')) != std::string_view::npos; rest.remove_prefix(end + 1)) {
      if (pending.empty()) {
        WENQU_RETURN_IF_ERROR(finish_line(rest.substr(0, end)));
      } else {
        if (!too_long) pending += rest.substr(0, end);
        WENQU_RETURN_IF_ERROR(finish_line(pending));
        pending.clear();
      }
    }
    if (too_long) continue;
    pending += rest;
    too_long = pending.size() > max_line_bytes;
  }
  if (!pending.empty()) return finish_line(pending);
  return {};
}

}  // namespace wenqu::retrieval
