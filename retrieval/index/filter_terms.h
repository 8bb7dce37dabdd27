// How what a Filter asks for lies in the index: as terms of the kind field, of a document's record alone. All its
// passages follow from that.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "retrieval/document.h"

namespace wenqu::retrieval {

// "t" and the second it was published at, as sixteen hexadecimal digits that sort as the times do.
std::string time_term(int64_t seconds);
// "a", the name's length, the name and the value; "p" and a principal. Empty when it is too long to be kept.
std::string attribute_term(std::string_view name, std::string_view value);
std::string principal_term(std::string_view principal);
// Of a document that is not for everybody.
inline constexpr std::string_view kRestrictedTerm = "q";

// All of a document; as bytes, which the index keeps as an id's are.
std::vector<std::string> filter_terms(const Document& document);

}  // namespace wenqu::retrieval
