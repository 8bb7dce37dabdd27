// The stored form of documents and passages: fields in a fixed order, each with its length before
// it (LEB128). Decoding checks every length and accepts no trailing bytes.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"
#include "retrieval/document.h"
#include "retrieval/passage.h"

namespace wenqu::retrieval {

// All of the document but its text, marks and passages.
std::string encode_properties(const Document& document);
Result<Document> decode_properties(std::string_view bytes);

// The marks and, where the host has cut them, the passages; empty where there is neither.
std::string encode_marks(const Document& document);
Status decode_marks(std::string_view bytes, Document& document);

// All of the passage but its document id, which its record knows.
std::string encode_passage(const Passage& passage);
Result<Passage> decode_passage(std::string_view bytes);

}  // namespace wenqu::retrieval
