#include "retrieval/documents/extract.h"

#include "retrieval/documents/csv.h"
#include "retrieval/documents/decode.h"
#include "retrieval/documents/docx.h"
#include "retrieval/documents/epub.h"
#include "retrieval/documents/html.h"
#include "retrieval/documents/mail.h"
#include "retrieval/documents/markdown.h"
#include "retrieval/documents/subtitles.h"

namespace wenqu::retrieval {

Result<Extracted> extract(FileType type, std::string_view bytes, const CancelToken& cancel, std::string& repaired) {
  if (type == FileType::docx) return extract_docx(bytes, cancel);
  if (type == FileType::epub) return extract_epub(bytes, cancel);
  if (type == FileType::mail) return extract_mail(bytes, cancel);
  DecodedText decoded = decode_text(bytes, type == FileType::html ? declared_charset(bytes) : std::string());
  repaired = std::move(decoded.problem);
  WENQU_RETURN_IF_ERROR(cancel.status());
  switch (type) {
    case FileType::html: return extract_html(decoded.text);
    case FileType::markdown: return extract_markdown(decoded.text);
    case FileType::csv: return extract_csv(decoded.text);
    case FileType::subtitles: return extract_subtitles(decoded.text);
    default: break;
  }
  Extracted extracted;
  extracted.text = std::move(decoded.text);
  return extracted;
}

}  // namespace wenqu::retrieval
