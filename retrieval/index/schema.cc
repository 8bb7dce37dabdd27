#include "retrieval/index/schema.h"

#include "retrieval/store/lucene_call.h"

namespace wenqu::retrieval {

std::wstring index_term(const std::string& text) {
  constexpr size_t kMaxTermChars = 128;
  std::wstring term = to_wide(text);
  if (term.size() > kMaxTermChars) term.resize(kMaxTermChars);
  for (const wchar_t c : term)
    if (c == 0 || c == 0xFFFD || (c & 0xFFFE) == 0xFFFE) return {};
  return term;
}

}  // namespace wenqu::retrieval
