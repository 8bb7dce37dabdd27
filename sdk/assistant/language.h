// The language of a question, and with it of the words we add to an answer ourselves.
#pragma once

#include <string_view>

namespace wenqu::assistant {

enum class Language { chinese, english };

// Chinese when the text holds any Han character.
Language detect_language(std::string_view text);

}  // namespace wenqu::assistant
