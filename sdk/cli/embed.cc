#include <fmt/format.h>

#include <cstdio>
#include <iostream>
#include <string>
#include <vector>

#include "engine/embedder.h"
#include "sdk/cli/commands.h"
#include "sdk/cli/interrupt.h"

namespace wenqu::cli {
namespace {

void print_vector(std::span<const float> vector) {
  std::string line;
  for (const float value : vector) line += fmt::format("{}{:.8g}", line.empty() ? "[" : ",", value);
  fmt::print("{}]\n", line);
}

}  // namespace

int run_embed(const EmbedOptions& options) {
  Interrupt interrupt;
  const auto model = engine::Embedder::load(options.model, {.threads = options.threads});
  if (!model) return report(model.status());
  std::vector<std::string> texts;
  for (std::string line; std::getline(std::cin, line);) texts.push_back(std::move(line));
  if (std::ferror(stdin) != 0) return report(Status(StatusCode::io_error, "cannot be read", "standard input"));
  if (options.query) {
    const auto scores = (*model)->score(*options.query, texts, interrupt.token());
    if (!scores) return report(scores.status());
    for (const float score : *scores) fmt::print("{:.8g}\n", score);
    return kExitOk;
  }
  const auto embeddings = (*model)->embed(texts, interrupt.token());
  if (!embeddings) return report(embeddings.status());
  const size_t dimensions = (*model)->info().dimensions;
  for (size_t i = 0; i < texts.size(); ++i) print_vector({embeddings->values.data() + i * dimensions, dimensions});
  if (embeddings->truncated == 0) return kExitOk;
  fmt::print(stderr, "wenqu: {} texts are longer than the {} tokens that the model reads, and were cut\n", embeddings->truncated,
             (*model)->info().max_tokens);
  return kExitPartial;
}

}  // namespace wenqu::cli
