// What tells one model file from another, without reading all of it: SHA-256 over the metadata (long arrays by
// their beginnings), each tensor's name, type and shape, and bytes from its beginning, middle and end. Whatever is derived
// from a model (a saved KV cache) is bound to its fingerprint.
#pragma once

#include "base/sha256.h"
#include "engine/gguf/file.h"
#include "engine/model/config.h"

namespace wenqu::engine {

using Fingerprint = Sha256::Digest;

// With those of the configuration's numbers that options may have changed.
Fingerprint fingerprint(const gguf::File& file, const Config& config);

}  // namespace wenqu::engine
