#include "engine/cuda/module.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <link.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "base/thread.h"

namespace wenqu::engine::cuda {
namespace {

constexpr const char* kFileName = "libwenqu-cuda.so";
constexpr const char* kVariable = "WENQU_CUDA_MODULE";

// Of this library or program. A program's own name may be a bare word, which the shell found on its path.
std::filesystem::path own_folder() {
  Dl_info info;
  link_map* map = nullptr;
  if (dladdr1(reinterpret_cast<const void*>(&own_folder), &info, reinterpret_cast<void**>(&map), RTLD_DL_LINKMAP) == 0 || !map) return {};
  std::error_code ignored;
  return std::filesystem::canonical(map->l_name && *map->l_name ? map->l_name : "/proc/self/exe", ignored).parent_path();
}

// Beside what this code is part of, or, where that is a program in bin, where its libraries were installed.
std::vector<std::string> places() {
  const std::filesystem::path own = own_folder();
  if (own.empty()) return {};
  std::vector<std::string> all = {(own / kFileName).string()};
  if (const auto installed = (own / WENQU_LIBRARIES_FROM_PROGRAMS / kFileName).lexically_normal(); installed != all[0]) all.push_back(installed.string());
  return all;
}

Result<void*> load_file() {
  if (const char* const named = std::getenv(kVariable); named && *named) {
    if (void* handle = dlopen(named, RTLD_NOW | RTLD_LOCAL)) return handle;
    return Status(StatusCode::not_found, fmt::format("the CUDA module that {} names cannot be loaded: {}", kVariable, dlerror()), "CUDA");
  }
  const std::vector<std::string> paths = places();
  for (const std::string& path : paths) {
    if (void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)) return handle;
    const std::string problem = dlerror();
    std::error_code ignored;
    if (std::filesystem::exists(path, ignored)) return Status(StatusCode::not_found, "the CUDA module cannot be loaded: " + problem, "CUDA");
  }
  if (void* handle = dlopen(kFileName, RTLD_NOW | RTLD_LOCAL)) return handle;
  return Status(StatusCode::not_found,
                fmt::format("the CUDA module is neither at {} nor on the loader's path: put it there (docs/gpu.md tells how it is built), or name its path in {}",
                            fmt::join(paths, " nor at "), kVariable), "CUDA");
}

Result<const Module*> load() {
  // Without a driver the module would load, and then only say that something is missing.
  if (void* driver = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL)) {
    dlclose(driver);
  } else {
    return Status(StatusCode::not_found, "no NVIDIA driver is installed (libcuda.so.1 cannot be loaded)", "CUDA");
  }
  WENQU_ASSIGN_OR_RETURN(void* const handle, load_file());
  Dl_info info;
  const auto* const module = static_cast<const Module*>(dlsym(handle, "wenqu_cuda_module"));
  const std::string path = module && dladdr(module, &info) != 0 && info.dli_fname ? info.dli_fname : kFileName;
  if (!module) return Status(StatusCode::version_mismatch, "is not wenqu's CUDA module", path);
  if (std::memcmp(module->interface, WENQU_CUDA_INTERFACE, sizeof module->interface) != 0 || module->status_bytes != sizeof(Status))
    return Status(StatusCode::version_mismatch, "the CUDA module was built of other sources than this program: build and install both together (docs/gpu.md)", path);
  return module;   // stays loaded: devices may live as long as the process
}

const Result<const Module*>& module() {
  static const auto& loaded = *new const Result<const Module*>(load());   // never destroyed: a host may exit while answers run
  return loaded;
}

}  // namespace

// The driver starts threads of its own, when it is first asked and for each device.
Result<int> count_devices() {
  const SignalsBlocked blocked;
  if (!module()) return module().status();
  return (*module())->count();
}

Result<std::shared_ptr<Device>> open_device(int index) {
  WENQU_ASSIGN_OR_RETURN(const int count, count_devices());
  if (index < 0 || index >= count)
    return Status(StatusCode::not_found,
                  count == 0 ? "there is no NVIDIA GPU" : fmt::format("there is no GPU {}: they are numbered from 0 to {}", index, count - 1), "CUDA");
  const SignalsBlocked blocked;
  WENQU_ASSIGN_OR_RETURN(Device* const device, (*module())->open(index));
  return std::shared_ptr<Device>(device);
}

}  // namespace wenqu::engine::cuda
