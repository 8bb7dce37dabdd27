// Which kinds of files are read, told by their names. Thread safety: pure.
#pragma once

#include <string>
#include <string_view>

namespace wenqu::retrieval {

enum class FileType { json_lines, text, markdown, html, pdf, docx, epub, csv, mail, subtitles, unknown };

// By the extension, in capital letters too.
FileType file_type(std::string_view path);

// ".jsonl .txt ...", for messages.
extern const char* const kReadableExtensions;

}  // namespace wenqu::retrieval
