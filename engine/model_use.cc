#include "engine/model_use.h"

#include "engine/gguf/file.h"

namespace wenqu::engine {
namespace {

// As llama.cpp numbers the types of pooling; all others make vectors.
constexpr uint64_t kNoPooling = 0, kRankPooling = 4;

}  // namespace

Result<ModelUse> find_model_use(const std::string& path) {
  WENQU_ASSIGN_OR_RETURN(const std::shared_ptr<const gguf::File> file, gguf::File::open(path));
  const std::string architecture(file->get_string("general.architecture").value_or(""));
  const auto pooling = file->get_uint(architecture + ".pooling_type");
  if (architecture == "bert") return pooling == kRankPooling ? ModelUse::rank : ModelUse::embed;
  // A decoder that ranks is asked in its own language; one that pools its states has lost it.
  return !pooling || *pooling == kNoPooling || *pooling == kRankPooling ? ModelUse::generate : ModelUse::embed;
}

}  // namespace wenqu::engine
