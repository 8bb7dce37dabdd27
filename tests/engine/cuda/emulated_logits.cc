// `wenqu logits` on the emulated device, for scripts that compare logits:
//   wenqu_emulated_logits logits --model MODEL --tokens ID,ID... --out FILE
// writes the logits after each token as floats. Slow: for models of a few megabytes.
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "engine/timeline.h"
#include "tests/engine/cuda/emulated_kernels.h"
#include "tests/engine/cuda/emulator.h"

using namespace wenqu;

namespace {

int fail(const Status& status) {
  std::fprintf(stderr, "%s\n", status.to_string().c_str());
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  std::map<std::string, std::string> options;
  for (int i = 2; i + 1 < argc; i += 2) options[argv[i]] = argv[i + 1];
  std::vector<engine::TokenId> tokens;
  for (const char* at = options["--tokens"].c_str(); *at;) {
    char* end = nullptr;
    tokens.push_back(static_cast<engine::TokenId>(std::strtol(at, &end, 10)));
    if (end == at) return fail(Status(StatusCode::invalid_argument, "is not a list of token ids", "--tokens"));
    at = *end ? end + 1 : end;
  }
  engine::LoadOptions load;
  load.open_devices = {std::make_shared<test::Emulator>(test::emulated_kernels(), size_t{16} << 30)};
  const auto model = engine::Model::load(options["--model"], load);
  if (!model) return fail(model.status());
  const auto timeline = engine::Timeline::create(*model, {});
  if (!timeline) return fail(timeline.status());
  const auto logits = (*timeline)->append_with_logits(tokens, {});
  if (!logits) return fail(logits.status());
  std::ofstream out(options["--out"], std::ios::binary);
  out.write(reinterpret_cast<const char*>(logits->data()), static_cast<std::streamsize>(logits->size() * sizeof(float)));
  out.flush();
  return out ? 0 : fail(Status(StatusCode::io_error, "cannot write the logits", options["--out"]));
}
