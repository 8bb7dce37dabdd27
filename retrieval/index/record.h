// The stored form of documents and passages: fields in a fixed order, each with its length before
// it (LEB128). Decoding checks every length and accepts no trailing bytes.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"
#include "retrieval/document.h"
#include "retrieval/passage.h"

namespace wenqu::retrieval {

// All of the document but its text and marks.
std::string encode_properties(const Document& document);
Result<Document> decode_properties(std::string_view bytes);

std::string encode_marks(const std::vector<Mark>& marks);
Result<std::vector<Mark>> decode_marks(std::string_view bytes);

// All of the passage but its document id, which its record knows.
std::string encode_passage(const Passage& passage);
Result<Passage> decode_passage(std::string_view bytes);

}  // namespace wenqu::retrieval
