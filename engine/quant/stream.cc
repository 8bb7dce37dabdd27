#include "engine/quant/stream.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <mutex>
#include <vector>

#include "engine/quant/quantize.h"

namespace wenqu::engine::quant {
namespace {

constexpr uint64_t kPieceValues = 1 << 14;    // of one thread at a time: 64 KiB of floats
constexpr uint64_t kChunkValues = 1 << 21;    // packed before it is written: 8 MiB at most

// quantize_row knows where in the piece the value stands; a reader wants its row and column.
Status placed(const Status& status, std::string_view name, uint64_t first, uint64_t row_values) {
  constexpr std::string_view kValue = "value ";
  std::string where = fmt::format("tensor '{}'", name);
  uint64_t number = 0;
  const std::string& at = status.where();
  if (at.starts_with(kValue) && std::from_chars(at.data() + kValue.size(), at.data() + at.size(), number).ec == std::errc()) {
    number += first;
    where += fmt::format(", row {}, column {}", number / row_values, number % row_values);
  }
  return Status(status.code(), status.message(), std::move(where));
}

}  // namespace

Status Progress::advance(uint64_t values) {
  done += values;
  if (report && total > 0) report(static_cast<double>(done) / static_cast<double>(total));
  return cancel.status();
}

Status write_tensor(gguf::Writer& writer, std::string_view name, gguf::Type type, uint64_t row_values, uint64_t values,
                    const ValueSource& source, cpu::ThreadPool& threads, Progress& progress) {
  std::vector<std::byte> packed;
  for (uint64_t begin = 0; begin < values; begin += kChunkValues) {
    const uint64_t chunk = std::min(kChunkValues, values - begin);
    packed.resize(gguf::type_row_bytes(type, chunk));
    std::mutex mutex;
    Status failed;   // the first of the chunk, whichever thread meets it
    uint64_t failed_at = UINT64_MAX;
    threads.run((chunk + kPieceValues - 1) / kPieceValues, 1, [&](size_t first_piece, size_t end_piece) {
      std::vector<float> floats(kPieceValues);
      for (uint64_t piece = first_piece; piece < end_piece; ++piece) {
        const uint64_t offset = piece * kPieceValues, count = std::min(kPieceValues, chunk - offset);
        Status status = source(begin + offset, count, floats.data());
        if (status)
          if (status = quantize_row(type, floats.data(), count, packed.data() + gguf::type_row_bytes(type, offset)); !status)
            status = placed(status, name, begin + offset, row_values);
        if (status) continue;
        const std::lock_guard lock(mutex);
        if (offset < failed_at) failed_at = offset, failed = status;
      }
    });
    WENQU_RETURN_IF_ERROR(failed);
    WENQU_RETURN_IF_ERROR(writer.append(name, packed));
    WENQU_RETURN_IF_ERROR(progress.advance(chunk));
  }
  return {};
}

}  // namespace wenqu::engine::quant
