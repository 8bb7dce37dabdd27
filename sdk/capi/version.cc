#include <string_view>

#include "engine/model.h"
#include "wenqu/wenqu.h"

#define WQ_TEXT_(x) #x
#define WQ_TEXT(x) WQ_TEXT_(x)

extern "C" {

uint32_t wq_version_number(void) {
  return WQ_VERSION_MAJOR * 1000000u + WQ_VERSION_MINOR * 1000u + WQ_VERSION_PATCH;
}

const char* wq_version_string(void) {
  return WQ_TEXT(WQ_VERSION_MAJOR) "." WQ_TEXT(WQ_VERSION_MINOR) "." WQ_TEXT(WQ_VERSION_PATCH);
}

int32_t wq_has(const char* feature) {
  if (!feature) return 0;
  const std::string_view name = feature;
  try {
    if (name == "cuda") return wenqu::engine::can_use_gpu();
  } catch (...) {
    return 0;
  }
  return name == "engine" || name == "retrieval";
}

}  // extern "C"
