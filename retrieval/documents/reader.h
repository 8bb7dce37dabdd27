// Turns what users have (files and folders of the types in file_type.h) into Documents.
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
  // For documents that do not name theirs. With `file`, subtitles are `video` and WeChat's pages `official_account`.
  Source source = Source::file;
  uint64_t max_file_bytes = 64u << 20;  // a larger file is reported, not read; JSONL: per line
  double max_file_seconds = 60;         // a file that takes longer is reported and left; not JSONL, nor a table of documents
};

struct ReadCounts {
  uint64_t documents = 0;     // handed to the sink
  uint64_t problems = 0;      // reports made: files and lines left out, texts repaired, and dates that cannot be read
  uint64_t bytes = 0;         // read from disk
  uint64_t left_out = 0;      // documents too large, and lines of JSON Lines that cannot be told to be which document
  bool ended_early = false;   // a file could not be read, or not to its end
};

// What read_documents tells as it goes. Returning an error from `document` stops the reading with
// that error; `problem` is told of a file, line (in where()) or a repaired text and reading goes on.
struct ReadSink {
  std::function<Status(Document&&)> document;
  std::function<void(const Status&)> problem;
  // Bytes read so far, after each document; may be empty.
  std::function<void(uint64_t bytes)> progress;
};

// Reads a file or, as find_files() lists them, the files of a folder. A file in a folder whose type is not known is
// skipped silently; named directly, it is a problem report. A document from a file has the path as its id and url (in the
// id, bytes that are no UTF-8 as U+FFFD and two digits, and the front of a very long one as a hash; a WeChat article has its
// own address as url), the title and date that it names, or else the file's name and date of change; a table with a column
// `text` and JSON Lines give a document for each row or line.
// Errors: not_found, io_error (the path itself), cancelled, or the sink's.
Result<ReadCounts> read_documents(const std::string& path, const ReadOptions& options,
                                  const ReadSink& sink, const CancelToken& cancel);

// Reads one file, of which any problem is only reported. Errors: cancelled, or the sink's.
Result<ReadCounts> read_file(const std::string& path, const ReadOptions& options, const ReadSink& sink,
                             const CancelToken& cancel);

// One line of JSON Lines: an object with `id` and `text` (or `passages`, a list of texts that are searched, shown and cited
// as they are; the document's text is these, each on a line of its own), and optionally `title`, `url`, `source`,
// `author` (all strings), `published_at` (any date that dates.h reads, or a number of seconds or milliseconds since 1970),
// `acl` (list of names), `attributes` (object of strings, numbers, booleans) and `marks` (array of
// {"begin": code point, "kind": "page", "time", "section" or "row", "number": its number}).
// Other members are ignored, unless they differ from one of these only in case: what they say would be lost. With `undated` a
// date that cannot be read is told there and the document has none. Errors: invalid_argument, naming the member.
Result<Document> parse_document_json(std::string_view line, Source default_source, std::string* undated = nullptr);

}  // namespace wenqu::retrieval
