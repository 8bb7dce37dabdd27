#include "engine/cuda/module.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>
#include <mutex>

namespace wenqu::engine::cuda {
namespace {

constexpr const char* kFileName = "libwenqu-cuda.so";
constexpr const char* kVariable = "WENQU_CUDA_MODULE";

// Of this library or program.
std::filesystem::path own_folder() {
  Dl_info info;
  if (dladdr(reinterpret_cast<const void*>(&own_folder), &info) == 0 || !info.dli_fname) return {};
  std::error_code ignored;
  return std::filesystem::canonical(info.dli_fname, ignored).parent_path();
}

Result<const Module*> load() {
  // Without a driver the module would load, and then only say that something is missing.
  if (void* driver = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL)) {
    dlclose(driver);
  } else {
    return Status(StatusCode::not_found, "no NVIDIA driver is installed (libcuda.so.1 cannot be loaded)", "CUDA");
  }
  const char* const named = std::getenv(kVariable);
  const std::string path = named && *named ? named : (own_folder() / kFileName).string();
  void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  std::string problem = handle ? "" : dlerror();
  if (!handle && !(named && *named)) handle = dlopen(kFileName, RTLD_NOW | RTLD_LOCAL);
  if (!handle)
    return Status(StatusCode::not_found,
                  fmt::format("the CUDA module cannot be loaded: {}; put {} beside wenqu, or name its path in {}", problem, kFileName, kVariable), "CUDA");
  const auto* const module = static_cast<const Module*>(dlsym(handle, "wenqu_cuda_module"));
  if (!module) return Status(StatusCode::version_mismatch, "is not wenqu's CUDA module", path);
  if (module->version != kModuleVersion || module->status_bytes != sizeof(Status))
    return Status(StatusCode::version_mismatch,
                  fmt::format("the CUDA module has version {}, this build needs {}: install those of one build", module->version, kModuleVersion), path);
  return module;   // stays loaded: devices may live as long as the process
}

const Result<const Module*>& module() {
  static const Result<const Module*> loaded = load();
  return loaded;
}

}  // namespace

Result<int> count_devices() {
  if (!module()) return module().status();
  return (*module())->count();
}

Result<std::shared_ptr<Device>> open_device(int index) {
  WENQU_ASSIGN_OR_RETURN(const int count, count_devices());
  if (index < 0 || index >= count)
    return Status(StatusCode::not_found,
                  count == 0 ? "there is no NVIDIA GPU" : fmt::format("there is no GPU {}: they are numbered from 0 to {}", index, count - 1), "CUDA");
  WENQU_ASSIGN_OR_RETURN(Device* const device, (*module())->open(index));
  return std::shared_ptr<Device>(device);
}

}  // namespace wenqu::engine::cuda
