#include "retrieval/documents/reader.h"

#include <algorithm>
#include <exception>
#include <filesystem>
#include <new>
#include <vector>

#include <fmt/format.h>

#include "base/utf8.h"
#include "retrieval/documents/decode.h"
#include "retrieval/documents/extracted.h"
#include "retrieval/documents/file.h"
#include "retrieval/documents/html.h"
#include "retrieval/documents/json_lines.h"
#include "retrieval/documents/markdown.h"

namespace wenqu::retrieval {
namespace {

namespace fs = std::filesystem;

enum class FileType { json_lines, text, markdown, html, unknown };

FileType type_of(const fs::path& path) {
  std::string extension = path.extension().string();
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  if (extension == ".jsonl") return FileType::json_lines;
  if (extension == ".txt") return FileType::text;
  if (extension == ".md" || extension == ".markdown") return FileType::markdown;
  if (extension == ".html" || extension == ".htm") return FileType::html;
  return FileType::unknown;
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
    const fs::path normal = fs::path(path).lexically_normal();
    if (fs::is_directory(status)) {
      WENQU_RETURN_IF_ERROR(read_folder(normal, /*is_root=*/true));
      return counts_;
    }
    // Opening tells what is no regular file, and what may not be read.
    const Result<InputFile> probe = InputFile::open(path);
    if (!probe) return probe.status();
    if (type_of(normal) == FileType::unknown) {
      report(Status(StatusCode::unsupported, "unknown type of file: .jsonl, .txt, .md and .html can be read", path));
      return counts_;
    }
    WENQU_RETURN_IF_ERROR(read_file(normal));
    return counts_;
  }

 private:
  void report(const Status& status) {
    ++counts_.problems;
    if (sink_.problem) sink_.problem(status);
  }

  // Only cancellation, the sink's errors and an unreadable root end the reading.
  Status read_folder(const fs::path& folder, bool is_root) {
    std::error_code error;
    std::vector<fs::directory_entry> entries;
    fs::directory_iterator it(folder, error), end;
    for (; !error && it != end; it.increment(error)) entries.push_back(*it);
    if (error) {
      const Status status(StatusCode::io_error, "cannot list the folder: " + error.message(), folder.string());
      if (is_root && entries.empty()) return status;
      report(status);
    }
    std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) {
      return a.path().filename().string() < b.path().filename().string();
    });
    for (const fs::directory_entry& entry : entries) {
      WENQU_RETURN_IF_ERROR(cancel_.status());
      if (entry.path().filename().string().starts_with('.')) continue;
      std::error_code ignored;
      if (entry.is_directory(ignored)) {
        if (!entry.is_symlink(ignored)) WENQU_RETURN_IF_ERROR(read_folder(entry.path(), false));
      } else if (type_of(entry.path()) != FileType::unknown) {
        WENQU_RETURN_IF_ERROR(read_file(entry.path()));
      }
    }
    return {};
  }

  Status read_file(const fs::path& path) {
    Result<InputFile> file = InputFile::open(path.string());
    if (!file) {
      report(file.status());
      return {};
    }
    Status status = type_of(path) == FileType::json_lines ? read_json_lines(*file, path) : read_text_file(*file, path);
    if (status.code() == StatusCode::io_error && !sink_failed_) {
      report(status);
      return {};
    }
    return status;
  }

  Status hand_over(Document&& document) {
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
        report(Status(StatusCode::limit_exceeded,
                      fmt::format("the line is longer than {} bytes", options_.max_file_bytes), where));
        return {};
      }
      std::string repaired;
      if (!utf8_is_valid(line.text)) {
        repaired = utf8_sanitize(line.text);
        report(Status(StatusCode::corrupt, "invalid UTF-8 was replaced by U+FFFD", where));
      }
      Result<Document> document = parse_document_json(repaired.empty() ? line.text : repaired, options_.source);
      if (document) return hand_over(std::move(*document));
      report(Status(document.status().code(), document.status().message(), where));
      return {};
    });
  }

  Status read_text_file(InputFile& file, const fs::path& path) {
    const std::string name = path.string();
    if (file.size() > options_.max_file_bytes) {
      report(Status(StatusCode::limit_exceeded, fmt::format("the file has {} bytes, more than the {} that are read",
                                                            file.size(), options_.max_file_bytes), name));
      return {};
    }
    std::string bytes;
    WENQU_RETURN_IF_ERROR(file.read(file.size(), bytes));
    counts_.bytes += bytes.size();
    WENQU_RETURN_IF_ERROR(cancel_.status());

    const FileType type = type_of(path);
    DecodedText decoded = decode_text(bytes, type == FileType::html ? declared_charset(bytes) : std::string());
    if (!decoded.problem.empty()) report(Status(StatusCode::corrupt, decoded.problem, name));
    Extracted extracted;
    if (type == FileType::markdown) extracted = extract_markdown(decoded.text);
    else if (type == FileType::html) extracted = extract_html(decoded.text);
    else extracted.text = std::move(decoded.text);
    if (extracted.text.find_first_not_of(" \t\r\n") == std::string::npos) {
      report(Status(StatusCode::invalid_argument, "the file holds no text", name));
      return {};
    }

    Document document;
    document.id = document.url = utf8_sanitize(name);
    document.title = extracted.title.empty() ? utf8_sanitize(path.stem().string()) : std::move(extracted.title);
    document.text = std::move(extracted.text);
    document.source = options_.source;
    document.author = std::move(extracted.author);
    document.published_at = extracted.published_at.empty() ? file.changed_at() : std::move(extracted.published_at);
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

}  // namespace wenqu::retrieval
