// Turns what users have (JSON Lines, folders of .txt, .md and .html) into Documents.
//
// A thing that cannot be read costs one problem report and never stops the rest.
// Thread safety: none is needed; one reader is used by one thread.
#pragma once

#include <functional>
#include <string>

#include "base/cancel.h"
#include "base/status.h"
#include "retrieval/document.h"

namespace wenqu::retrieval {

struct ReadOptions {
  Source source = Source::file;         // for documents that do not name theirs
  uint64_t max_file_bytes = 64u << 20;  // a larger text file is reported, not read; JSONL: per line
};

struct ReadCounts {
  uint64_t documents = 0;   // handed to the sink
  uint64_t problems = 0;    // reports made: files and lines left out, and texts repaired
  uint64_t bytes = 0;       // read from disk
};

// What read_documents tells as it goes. Returning an error from `document` stops the reading with
// that error; `problem` is told of a file, line (in where()) or a repaired text and reading goes on.
struct ReadSink {
  std::function<Status(Document&&)> document;
  std::function<void(const Status&)> problem;
  // Bytes read so far, after each document; may be empty.
  std::function<void(uint64_t bytes)> progress;
};

// Reads a file or, recursively and in sorted order, a folder. Hidden files are skipped; symbolic
// links to folders are not followed. A file found in a folder with another extension than .jsonl
// .txt .md .markdown .html .htm is skipped silently; named directly, it is a problem report.
// A document from a file has the path as its id and url, the first heading, <title> or file name as
// its title. Errors: not_found, io_error (the path itself), cancelled, or the sink's.
Result<ReadCounts> read_documents(const std::string& path, const ReadOptions& options,
                                  const ReadSink& sink, const CancelToken& cancel);

// One line of JSON Lines: an object with `id` and `text`, and optionally `title`, `url`, `source`,
// `author`, `published_at` (all strings) and `attributes` (object of strings, numbers, booleans).
// Other members are ignored. Errors: invalid_argument, naming the member.
Result<Document> parse_document_json(std::string_view line, Source default_source);

}  // namespace wenqu::retrieval
