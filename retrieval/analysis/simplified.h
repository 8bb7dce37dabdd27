// Traditional Chinese characters folded to simplified ones, so that a question in one script finds
// text in the other. Character by character after OpenCC's tables (mainland, Taiwan, Hong Kong);
// phrases are left alone, because both sides of a search are folded alike. Thread safety: pure.
#pragma once

namespace wenqu::retrieval {

// The simplified form, or the character itself.
char32_t simplified(char32_t c);

}  // namespace wenqu::retrieval
