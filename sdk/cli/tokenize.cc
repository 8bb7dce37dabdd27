#include <fmt/format.h>

#include <cstdio>
#include <iostream>
#include <iterator>
#include <new>

#include "engine/gguf/file.h"
#include "engine/tokenizer/tokenizer.h"
#include "sdk/cli/commands.h"

namespace wenqu::cli {

int run_tokenize(const TokenizeOptions& options) try {
  Result<std::shared_ptr<const engine::gguf::File>> file = engine::gguf::File::open(options.model);
  if (!file) return report(file.status());
  Result<std::shared_ptr<const engine::Tokenizer>> tokenizer = engine::Tokenizer::create(**file);
  if (!tokenizer) return report(tokenizer.status().at(options.model));
  std::cin >> std::noskipws;
  const std::string text{std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>()};
  if (std::ferror(stdin) != 0) return report(Status(StatusCode::io_error, "cannot be read", "standard input"));
  const std::vector<engine::TokenId> ids =
      options.special ? (*tokenizer)->encode_control(text) : (*tokenizer)->encode(text);
  fmt::print("{}\n", fmt::join(ids, " "));
  return kExitOk;
} catch (const std::bad_alloc&) {
  return report(Status(StatusCode::out_of_memory, "not enough memory for the text and its tokens", options.model));
}

}  // namespace wenqu::cli
