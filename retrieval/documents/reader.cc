#include "retrieval/documents/reader.h"

#include <chrono>
#include <exception>
#include <filesystem>
#include <new>
#include <span>

#include <fmt/format.h>

#include "base/sha256.h"
#include "base/utf8.h"
#include "retrieval/documents/csv.h"
#include "retrieval/documents/decode.h"
#include "retrieval/documents/extract.h"
#include "retrieval/documents/file.h"
#include "retrieval/documents/file_type.h"
#include "retrieval/documents/find_files.h"
#include "retrieval/documents/json_lines.h"
#include "retrieval/documents/pdf.h"
#include "retrieval/documents/read_limits.h"

namespace wenqu::retrieval {
namespace {

namespace fs = std::filesystem;

// A path as a document's id. Bytes that are no UTF-8 are written as U+FFFD and two digits, so that two such names are told
// apart; of a path that is longer than an id may be, the front is a hash of the whole.
std::string id_of(const std::string& path) {
  constexpr size_t kMost = 480, kTail = 400;   // an index takes 512 bytes, and a row's number comes behind
  std::string id;
  for (size_t at = 0; at < path.size();) {
    const size_t begin = at;
    utf8_next(path, at);
    const std::string_view piece(path.data() + begin, at - begin);
    if (utf8_is_valid(piece)) id += piece;
    else for (const char byte : piece) id += fmt::format("\xEF\xBF\xBD{:02X}", static_cast<unsigned char>(byte));
  }
  if (id.size() <= kMost) return id;
  Sha256 hash;
  hash.add(std::as_bytes(std::span(path)));
  const Sha256::Digest digest = hash.finish();
  std::string front;
  for (const uint8_t byte : std::span(digest).first<16>()) front += fmt::format("{:02x}", static_cast<unsigned>(byte));
  size_t tail = id.size() - kTail;
  while (tail < id.size() && (static_cast<unsigned char>(id[tail]) & 0xC0) == 0x80) ++tail;
  return front + "~" + id.substr(tail);
}

class DocumentReader {
 public:
  DocumentReader(const ReadOptions& options, const ReadSink& sink, const CancelToken& cancel)
      : options_(options), sink_(sink), cancel_(cancel) {}

  Result<ReadCounts> run(const std::string& path) {
    std::error_code error;
    const fs::file_status status = fs::status(path, error);
    if (!fs::exists(status)) {
      if (status.type() == fs::file_type::not_found)
        return Status(StatusCode::not_found, "there is no such file or folder", path);
      return Status(StatusCode::io_error, "cannot be read: " + error.message(), path);
    }
    if (fs::is_directory(status)) {
      WENQU_ASSIGN_OR_RETURN(const FoundFiles found,
                             find_files(path, {}, cancel_, [this](const Status& problem) { report(problem); }));
      for (const FoundFile& file : found.files) WENQU_RETURN_IF_ERROR(read_file(file.path));
      return counts_;
    }
    // Opening tells what is no regular file, and what may not be read.
    const Result<InputFile> probe = InputFile::open(path);
    if (!probe) return probe.status();
    WENQU_RETURN_IF_ERROR(read_file(fs::path(path).lexically_normal()));
    return counts_;
  }

  // Only cancellation and the sink's errors end the reading.
  Status read_file(const fs::path& path) {
    WENQU_RETURN_IF_ERROR(cancel_.status());
    const FileType type = file_type(path.string());
    if (type == FileType::unknown) {
      report(Status(StatusCode::unsupported, fmt::format("unknown type of file: {} can be read", kReadableExtensions), path.string()));
      return {};
    }
    const Status status = read_file_of(type, path);
    if (status) return {};
    if (sink_failed_) return status;
    WENQU_RETURN_IF_ERROR(cancel_.status());
    counts_.ended_early |= status.code() != StatusCode::invalid_argument;   // which says that it holds nothing
    report(status.code() == StatusCode::deadline_exceeded
               ? Status(StatusCode::limit_exceeded, "reading it took too long", path.string())
               : status);
    return {};
  }

  const ReadCounts& counts() const { return counts_; }

 private:
  void report(const Status& status) {
    ++counts_.problems;
    if (sink_.problem) sink_.problem(status);
  }

  // Nothing that a file does to its reader may end the others' reading.
  Status read_file_of(FileType type, const fs::path& path) {
    try {
      WENQU_ASSIGN_OR_RETURN(InputFile file, InputFile::open(path.string()));
      if (type == FileType::json_lines) return read_json_lines(file, path);
      const auto deadline = std::chrono::steady_clock::now() +
                            std::chrono::duration_cast<std::chrono::steady_clock::duration>(
                                std::chrono::duration<double>(options_.max_file_seconds));
      const CancelSource time_limit(cancel_, deadline);
      return read_whole_file(type, file, path, time_limit.token());
    } catch (const std::bad_alloc&) {
      return Status(StatusCode::out_of_memory, "no memory to read it", path.string());
    } catch (const std::exception& error) {
      return Status(StatusCode::io_error, std::string("cannot be read: ") + error.what(), path.string());
    }
  }

  Status hand_over(Document&& document) {
    if (document.text.size() > kMaxTextBytesOfFile) {
      ++counts_.left_out;
      report(Status(StatusCode::limit_exceeded, "it holds too much text", document.id));
      return {};
    }
    Status status = sink_.document(std::move(document));
    if (status) ++counts_.documents;
    if (sink_.progress) sink_.progress(counts_.bytes);
    sink_failed_ = !status;
    return status;
  }

  Status read_json_lines(InputFile& file, const fs::path& path) {
    return for_each_line(file, options_.max_file_bytes, cancel_, counts_.bytes, [&](const JsonLine& line) -> Status {
      const std::string where = fmt::format("{}:{}", path.string(), line.number);
      if (line.too_long) {
        ++counts_.left_out;
        report(Status(StatusCode::limit_exceeded,
                      fmt::format("the line is longer than {} bytes", options_.max_file_bytes), where));
        return {};
      }
      std::string repaired;
      if (!utf8_is_valid(line.text)) {
        repaired = utf8_sanitize(line.text);
        report(Status(StatusCode::corrupt, "invalid UTF-8 was replaced by U+FFFD", where));
      }
      std::string undated;
      Result<Document> document = parse_document_json(repaired.empty() ? line.text : repaired, options_.source, &undated);
      if (document) {
        if (!undated.empty()) report(Status(StatusCode::invalid_argument, undated, where));
        return hand_over(std::move(*document));
      }
      ++counts_.left_out;
      report(Status(document.status().code(), document.status().message(), where));
      return {};
    });
  }

  Status read_whole_file(FileType type, InputFile& file, const fs::path& path, const CancelToken& cancel) {
    const std::string name = path.string();
    if (file.size() > options_.max_file_bytes)
      return Status(StatusCode::limit_exceeded, fmt::format("the file has {} bytes, more than the {} that are read",
                                                            file.size(), options_.max_file_bytes), name);
    if (type == FileType::pdf) {
      counts_.bytes += file.size();
      ChildLimits limits;
      limits.total_seconds = options_.max_file_seconds;
      const Result<Extracted> extracted = extract_pdf(file.descriptor(), limits, cancel);
      return extracted ? hand_over_file(*extracted, file, path) : extracted.status().at(name);
    }
    std::string bytes;
    WENQU_RETURN_IF_ERROR(file.read(file.size(), bytes));
    counts_.bytes += bytes.size();
    if (type == FileType::csv) {
      bool done = false;
      // No limit of time: what is done with each row would count. There are as many rows as the size allows.
      const Status status = read_rows(bytes, name, cancel_, done);
      if (done || !status) return status;
    }
    std::string repaired;
    const Result<Extracted> extracted = extract(type, bytes, cancel, repaired);
    if (!extracted) return extracted.status().at(name);
    if (!repaired.empty()) report(Status(StatusCode::corrupt, repaired, name));
    return hand_over_file(*extracted, file, path);
  }

  // A table whose rows are documents; `done` stays false for any other.
  Status read_rows(const std::string& bytes, const std::string& name, const CancelToken& cancel, bool& done) {
    const DecodedText decoded = decode_text(bytes);
    const std::string id = id_of(name);
    CsvRow names;
    uint64_t number = 0;
    const Status stop(StatusCode::end_of_stream, "no documents");
    const Status status = for_each_csv_row(decoded.text, [&](CsvRow&& row) -> Status {
      WENQU_RETURN_IF_ERROR(cancel.status());
      if (names.empty()) {
        names = std::move(row);
        done = holds_documents(names);
        if (done && !decoded.problem.empty()) report(Status(StatusCode::corrupt, decoded.problem, name));
        return done ? Status() : stop;
      }
      ++number;
      const std::string where = fmt::format("{}: row {}", name, number);
      std::string undated;
      Result<Document> document = parse_document_json(csv_row_to_json(names, row, fmt::format("{}#{}", id, number)), options_.source, &undated);
      if (!document) {
        report(Status(document.status().code(), document.status().message(), where));
        return {};
      }
      if (!undated.empty()) report(Status(StatusCode::invalid_argument, undated, where));
      document->marks.push_back({0, {Locator::Kind::row, number}});
      return hand_over(std::move(*document));
    });
    return status.code() == StatusCode::end_of_stream ? Status() : status;
  }

  Status hand_over_file(const Extracted& extracted, const InputFile& file, const fs::path& path) {
    const std::string name = path.string();
    if (extracted.text.find_first_not_of(" \t\r\n") == std::string::npos)
      return Status(StatusCode::invalid_argument, "the file holds no text", name);
    Document document;
    document.id = id_of(name);
    // What a file says of itself beside its text is cut or left, not a reason to leave out the file.
    document.url = extracted.url.empty() || extracted.url.size() > kMaxUrlBytes ? utf8_sanitize(name) : extracted.url;
    document.title = extracted.title.empty() ? utf8_sanitize(path.stem().string()) : extracted.title;
    document.text = extracted.text;
    document.source = options_.source == Source::file ? extracted.source.value_or(Source::file) : options_.source;
    document.author = extracted.author.substr(0, utf8_complete_prefix(std::string_view(extracted.author).substr(0, kMaxAuthorBytes)));
    document.published_at = extracted.published_at.empty() ? file.changed_at() : extracted.published_at;
    document.acl = extracted.acl;
    document.marks = extracted.marks;
    return hand_over(std::move(document));
  }

  const ReadOptions& options_;
  const ReadSink& sink_;
  const CancelToken& cancel_;
  ReadCounts counts_;
  bool sink_failed_ = false;
};

}  // namespace

Result<ReadCounts> read_documents(const std::string& path, const ReadOptions& options, const ReadSink& sink,
                                  const CancelToken& cancel) {
  try {
    return DocumentReader(options, sink, cancel).run(path);
  } catch (const std::bad_alloc&) {
    return Status(StatusCode::out_of_memory, "no memory to read the documents", path);
  } catch (const std::exception& error) {
    return Status(StatusCode::io_error, std::string("cannot be read: ") + error.what(), path);
  }
}

Result<ReadCounts> read_file(const std::string& path, const ReadOptions& options, const ReadSink& sink,
                             const CancelToken& cancel) {
  try {
    DocumentReader reader(options, sink, cancel);
    WENQU_RETURN_IF_ERROR(reader.read_file(path));
    return reader.counts();
  } catch (const std::bad_alloc&) {
    return Status(StatusCode::out_of_memory, "no memory to read the file", path);
  } catch (const std::exception& error) {
    return Status(StatusCode::io_error, std::string("cannot be read: ") + error.what(), path);
  }
}

}  // namespace wenqu::retrieval
