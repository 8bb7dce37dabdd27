// Any bytes as a model file: everything the file hands out is read, and what loads is run for a few tokens.
// Nothing may be read outside the bytes, and an error must say something.
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "engine/gguf/file.h"
#include "engine/model.h"
#include "engine/model/config.h"
#include "engine/model/weights.h"
#include "engine/timeline.h"
#include "tests/fuzz/check.h"

namespace {

using namespace wenqu;
using namespace wenqu::engine;

// Keeps reads from being optimised away.
volatile size_t sink;

void read_metadata(const gguf::File& file) {
  size_t sum = 0;
  for (const auto& [key, shown] : file.describe()) {
    WENQU_FUZZ_CHECK(file.has(key));
    sum += shown.size() + file.get_uint(key).value_or(0) + static_cast<size_t>(file.get_int(key).value_or(0)) +
           file.get_bool(key).value_or(false) + (file.get_float(key).value_or(0) > 0);
    for (const char c : file.get_string(key).value_or(std::string_view())) sum += static_cast<unsigned char>(c);
    if (const auto strings = file.get_strings(key))
      for (std::string_view text : *strings)
        if (!text.empty()) sum += static_cast<unsigned char>(text.front()) + static_cast<unsigned char>(text.back());
    if (const auto numbers = file.get_ints(key)) sum += numbers->size();
    if (const auto numbers = file.get_floats(key)) sum += numbers->size();
  }
  sink = sum;
}

void read_tensors(const gguf::File& file) {
  size_t sum = 0;
  for (const gguf::Tensor& tensor : file.tensors()) {
    WENQU_FUZZ_CHECK(file.tensor(tensor.name) == &tensor);
    WENQU_FUZZ_CHECK(tensor.row_bytes() * (tensor.elements() / tensor.ne[0]) == tensor.bytes);
    for (uint64_t i = 0; i < tensor.bytes; ++i) sum += static_cast<size_t>(tensor.data[i]);
  }
  sink = sum;
}

void use_tokenizer(const Tokenizer& tokenizer) {
  // What the vocabulary itself spells is the hardest text for it.
  std::string text = "Hello, \xE4\xB8\x96\xE7\x95\x8C 123\n <think>\xFF";
  for (TokenId id = 0; id < static_cast<TokenId>(tokenizer.size()) && text.size() < 1024; ++id)
    text += tokenizer.decode(id, true);
  for (const TokenId id : tokenizer.encode(text)) {
    WENQU_FUZZ_CHECK(id >= 0 && static_cast<size_t>(id) < tokenizer.size());
    WENQU_FUZZ_CHECK(!tokenizer.is_control(id));
  }
  for (const TokenId id : tokenizer.encode_control(text)) sink = tokenizer.decode(id).size() + tokenizer.is_end_of_generation(id);
}

void run(const std::shared_ptr<const Model>& model) {
  sink = model->info().types.size() + model->info().active_parameters;
  if (const auto chat = model->chat_template()) {
    const ChatMessage messages[] = {{ChatMessage::Role::user, "question"}};
    sink = model->tokenizer().encode(render_chat(*chat, messages, true).pieces).size();
  }
  auto timeline = Timeline::create(model);
  WENQU_FUZZ_CHECK(timeline);
  const TokenId last = static_cast<TokenId>(model->info().vocabulary) - 1;
  const TokenId prompt[] = {0, last, last / 2}, next[] = {last};
  for (const std::span<const TokenId> tokens : {std::span<const TokenId>(prompt), std::span<const TokenId>(next)})
    if (const Status status = (*timeline)->append(tokens, {}))
      WENQU_FUZZ_CHECK((*timeline)->logits().size() == model->info().vocabulary);
    else
      WENQU_FUZZ_CHECK(!status.message().empty());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto file = gguf::File::parse(std::as_bytes(std::span(data, size)));
  if (!file) {
    WENQU_FUZZ_CHECK(!file.status().to_string().empty());
    return 0;
  }
  WENQU_FUZZ_CHECK((*file)->file_bytes() == size);
  read_metadata(**file);
  read_tensors(**file);
  if (const auto tokenizer = Tokenizer::create(**file)) {
    use_tokenizer(**tokenizer);
    sink = static_cast<size_t>(detect_chat_template(**file, **tokenizer).is_ok());
  }
  LoadOptions options;
  options.threads = 1;
  options.memory_budget = 256 << 20;
  options.context_tokens = 4;
  const auto model = Model::load(*file, options);
  if (model) run(*model);
  else WENQU_FUZZ_CHECK(!model.status().message().empty());
  return 0;
}
