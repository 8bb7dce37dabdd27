// Prepares a page for a tree-building HTML parser whose time and stack grow faster than the page when
// it is nested without end. Thread safety: pure.
#pragma once

#include <string>
#include <string_view>

namespace wenqu::retrieval {

// The page with all of its text but: elements nested deeper than kMaxHtmlDepth flattened, formatting
// tags (b, font ...) and graphics (svg, math) gone, tags with overlong attributes bare.
inline constexpr int kMaxHtmlDepth = 512;
//
// With `is_xhtml`, a tag such as <title/> or <script src="x"/> is an element without content, which it is not in HTML.
std::string simplify_html(std::string_view html, bool is_xhtml = false);

}  // namespace wenqu::retrieval
