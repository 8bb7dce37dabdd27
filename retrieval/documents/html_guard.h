// Prepares a page for a tree-building HTML parser whose time and stack grow faster than the page when
// it is nested without end. Thread safety: pure.
#pragma once

#include <string>
#include <string_view>

namespace wenqu::retrieval {

// The page with all of its text but: elements nested deeper than kMaxHtmlDepth flattened, formatting
// tags (b, font ...) and graphics (svg, math) gone, tags with overlong attributes bare.
inline constexpr int kMaxHtmlDepth = 512;
std::string simplify_html(std::string_view html);

}  // namespace wenqu::retrieval
