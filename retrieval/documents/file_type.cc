#include "retrieval/documents/file_type.h"

#include <algorithm>
#include <utility>

namespace wenqu::retrieval {

const char* const kReadableExtensions = ".jsonl .txt .md .html .pdf .docx .epub .csv .tsv .eml .srt .vtt";

FileType file_type(std::string_view path) {
  const std::string_view name = path.substr(path.rfind('/') + 1);
  const size_t dot = name.rfind('.');
  if (dot == std::string_view::npos || dot == 0) return FileType::unknown;
  std::string extension(name.substr(dot));
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  constexpr std::pair<std::string_view, FileType> kTypes[] = {
      {".jsonl", FileType::json_lines}, {".txt", FileType::text},  {".md", FileType::markdown},  {".markdown", FileType::markdown},
      {".html", FileType::html},        {".htm", FileType::html},  {".xhtml", FileType::html},   {".pdf", FileType::pdf},
      {".docx", FileType::docx},        {".epub", FileType::epub}, {".csv", FileType::csv},      {".tsv", FileType::csv},
      {".eml", FileType::mail},         {".srt", FileType::subtitles}, {".vtt", FileType::subtitles}};
  for (const auto& [known, type] : kTypes)
    if (extension == known) return type;
  return FileType::unknown;
}

}  // namespace wenqu::retrieval
