// Whether a stretch of text looks like the name of a person, place or thing: what leads from one
// document to the next is most often a name. A guess from form alone, used to rank, never to decide.
//
// Thread safety: pure.
#pragma once

#include <string_view>

namespace wenqu::assistant {

// Chinese: two to four characters that begin with one of the common surnames. Other scripts: a word that
// begins with a capital letter, `at_sentence_start` telling that it would have one anyway.
bool looks_like_name(std::u32string_view text, bool at_sentence_start);

}  // namespace wenqu::assistant
