// HTML to plain text: what a reader of the page reads. Scripts, styles, navigation and footers are
// left out (boilerplate.h); block elements begin lines. WeChat article pages give their content, title, account
// and date.
// Thread safety: pure. Time and memory stay linear in the page, however it is nested.
#pragma once

#include <string>
#include <string_view>

#include "retrieval/documents/extracted.h"

namespace wenqu::retrieval {

// REQUIRES: valid UTF-8.
Extracted extract_html(std::string_view html, bool is_xhtml = false);

// The encoding that the page's <meta> names, in lower case; empty when it names none.
std::string declared_charset(std::string_view html);

}  // namespace wenqu::retrieval
