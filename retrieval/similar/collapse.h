// Takes hits out of a result list that say again what a better one says. Thread safety: pure.
#pragma once

#include <vector>

#include "retrieval/passage.h"

namespace wenqu::retrieval {

// A hit goes where at least this share of the shorter passage's wording stands in a better hit's passage of another
// document, but for short ones each of which has a number that the other has not. Passages of one document that overlap do not come near it.
inline constexpr double kSameWording = 0.8;

// Of the first thousand. REQUIRES: best first. The ids of the documents that went are in `copies` of the hit that stands for them.
void collapse_near_duplicates(std::vector<Hit>& hits);

}  // namespace wenqu::retrieval
