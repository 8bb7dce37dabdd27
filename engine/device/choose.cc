#include "engine/device/choose.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <numeric>
#include <optional>

#include "engine/cuda/module.h"

namespace wenqu::engine::device {

namespace {

constexpr std::string_view kCuda = "cuda", kAll = ":all";

// The numbers behind "cuda:"; nullopt: they are none, or one stands twice.
std::optional<std::vector<int>> numbers(std::string_view text) {
  std::vector<int> numbers;
  const char *at = text.data(), *const end = at + text.size();
  for (;;) {
    int number = -1;
    const auto [behind, error] = std::from_chars(at, end, number);
    if (error != std::errc() || number < 0 || std::find(numbers.begin(), numbers.end(), number) != numbers.end()) return std::nullopt;
    numbers.push_back(number);
    if (behind == end) return numbers;
    if (*behind != ',') return std::nullopt;
    at = behind + 1;
  }
}

}  // namespace

Result<Chosen> choose_device(std::string_view name) {
  if (name.empty() || name == "cpu") return Chosen{};
  if (name == "auto") {
    Result<std::shared_ptr<cuda::Device>> device = cuda::open_device(0);
    if (!device) return Chosen{{}, device.status().message()};
    return Chosen{{std::move(*device)}, ""};
  }
  std::optional<std::vector<int>> wanted;
  if (name.starts_with(kCuda)) {
    const std::string_view rest = name.substr(kCuda.size());
    if (rest.empty()) {
      wanted = {0};
    } else if (rest == kAll) {
      WENQU_ASSIGN_OR_RETURN(const int count, cuda::count_devices());
      wanted.emplace(std::max(count, 1));   // where there is none, opening the first one tells so
      std::iota(wanted->begin(), wanted->end(), 0);
    } else if (rest.front() == ':') {
      wanted = numbers(rest.substr(1));
    }
  }
  if (!wanted)
    return Status(StatusCode::invalid_argument, fmt::format("there is no device '{}': cpu, cuda, cuda:NUMBER, several as cuda:0,1, cuda:all or auto", name), "device");
  Chosen chosen;
  for (const int number : *wanted) {
    WENQU_ASSIGN_OR_RETURN(std::shared_ptr<cuda::Device> device, cuda::open_device(number));
    chosen.devices.push_back(std::move(device));
  }
  return chosen;
}

}  // namespace wenqu::engine::device
