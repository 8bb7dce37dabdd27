#include "engine/device/choose.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "engine/cuda/module.h"

namespace wenqu::engine::device {

Result<Chosen> choose_device(std::string_view name) {
  if (name.empty() || name == "cpu") return Chosen{};
  if (name == "auto") {
    Result<std::shared_ptr<cuda::Device>> device = cuda::open_device(0);
    if (!device) return Chosen{nullptr, device.status().message()};
    return Chosen{std::move(*device), ""};
  }
  constexpr std::string_view kCuda = "cuda";
  int index = 0;
  const std::string_view rest = name.substr(std::min(name.size(), kCuda.size()));
  bool usable = name.starts_with(kCuda);
  if (usable && !rest.empty()) {
    const auto [end, error] = std::from_chars(rest.data() + 1, rest.data() + rest.size(), index);
    usable = rest[0] == ':' && rest.size() > 1 && error == std::errc() && end == rest.data() + rest.size() && index >= 0;
  }
  if (!usable) return Status(StatusCode::invalid_argument, fmt::format("there is no device '{}': cpu, cuda, cuda:NUMBER or auto", name), "device");
  WENQU_ASSIGN_OR_RETURN(std::shared_ptr<cuda::Device> device, cuda::open_device(index));
  return Chosen{std::move(device), ""};
}

}  // namespace wenqu::engine::device
