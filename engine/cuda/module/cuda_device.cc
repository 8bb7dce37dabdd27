#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <set>
#include <string_view>

#include "engine/cuda/module.h"
#include "engine/cuda/module/entries.h"
#include "engine/cuda/warpgroup_check.h"

namespace wenqu::engine::cuda {
namespace {

// Copies from pageable memory pass through pinned pieces of this size: while one is on its way, the next is filled.
constexpr size_t kStagingBytes = size_t{4} << 20;
constexpr int kStagings = 2;
constexpr const char* kWarpgroups = "WENQU_CUDA_WARPGROUPS";

// After these every call fails, until another process begins.
bool is_lost(cudaError_t error) {
  switch (error) {
    case cudaErrorECCUncorrectable:
    case cudaErrorNvlinkUncorrectable:
    case cudaErrorContained:
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchTimeout:
    case cudaErrorContextIsDestroyed:
    case cudaErrorAssert:
    case cudaErrorHardwareStackError:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorLaunchFailure:
    case cudaErrorTensorMemoryLeak:
    case cudaErrorMpsClientTerminated:
    case cudaErrorExternalDevice:
    case cudaErrorUnknown: return true;
    default: return false;
  }
}

Status failed(cudaError_t error, const char* what) {
  if (is_lost(error))
    return Status(StatusCode::internal,
                  fmt::format("the GPU failed to {}: {} ({}): it is lost for this process, which must be started again; where that does not help, the "
                              "driver's messages say more (dmesg, NVRM: Xid)", what, cudaGetErrorString(error), cudaGetErrorName(error)),
                  "CUDA");
  const StatusCode code = error == cudaErrorMemoryAllocation ? StatusCode::out_of_memory : StatusCode::internal;
  return Status(code, fmt::format("the GPU refused to {}: {} ({})", what, cudaGetErrorString(error), cudaGetErrorName(error)), "CUDA");
}

#define WENQU_CUDA(call, what)                                                     \
  do {                                                                             \
    if (const cudaError_t error = (call); error != cudaSuccess) return failed(error, what); \
  } while (false)

class CudaGraph final : public Device::Graph {
 public:
  explicit CudaGraph(cudaGraphExec_t graph) : graph_(graph) {}
  ~CudaGraph() override { cudaGraphExecDestroy(graph_); }
  cudaGraphExec_t get() const { return graph_; }

 private:
  cudaGraphExec_t graph_;
};

class CudaDevice final : public Device {
 public:
  static Result<Device*> open(int index) {
    auto device = std::unique_ptr<CudaDevice>(new CudaDevice(index));
    if (const Status status = device->start(); !status) return status;
    if (const Status status = device->try_warpgroups(); !status) return status;
    return static_cast<Device*>(device.release());
  }

  ~CudaDevice() override {
    cudaSetDevice(index_);
    if (stream_) cudaStreamSynchronize(stream_);
    for (Staging& staging : stagings_) {
      if (staging.sent) cudaEventDestroy(staging.sent);
      if (staging.memory) cudaFreeHost(staging.memory);
    }
    if (handed_) cudaEventDestroy(handed_);
    if (stream_) cudaStreamDestroy(stream_);
  }

  const DeviceInfo& info() const override { return info_; }

  size_t free_bytes() const override {
    size_t free = 0, total = 0;
    cudaSetDevice(index_);
    return cudaMemGetInfo(&free, &total) == cudaSuccess ? free : 0;
  }

  Result<void*> allocate(size_t bytes) override {
    void* memory = nullptr;
    cudaSetDevice(index_);
    if (const cudaError_t error = cudaMalloc(&memory, bytes); error != cudaSuccess) {
      cudaGetLastError();   // an allocation that failed leaves the device as it was
      if (error == cudaErrorMemoryAllocation)
        return Status(StatusCode::out_of_memory, fmt::format("the GPU has {} bytes left, {} are needed", free_bytes(), bytes), info_.name);
      return failed(error, "give memory");
    }
    return memory;
  }

  void release(void* memory) noexcept override {
    cudaSetDevice(index_);
    cudaFree(memory);
  }

  Status upload(void* to, const void* from, size_t bytes) override {
    WENQU_CUDA(cudaSetDevice(index_), "be used");
    for (size_t at = 0; at < bytes;) {
      Staging& staging = stagings_[next_];
      next_ = (next_ + 1) % kStagings;
      const size_t piece = bytes - at < kStagingBytes ? bytes - at : kStagingBytes;
      WENQU_CUDA(cudaEventSynchronize(staging.sent), "take in a copy");
      std::memcpy(staging.memory, static_cast<const char*>(from) + at, piece);
      WENQU_CUDA(cudaMemcpyAsync(static_cast<char*>(to) + at, staging.memory, piece, cudaMemcpyHostToDevice, stream_), "take in a copy");
      WENQU_CUDA(cudaEventRecord(staging.sent, stream_), "take in a copy");
      at += piece;
    }
    return {};
  }

  Status copy(void* to, const void* from, size_t bytes) override {
    WENQU_CUDA(cudaSetDevice(index_), "be used");
    WENQU_CUDA(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream_), "copy");
    return {};
  }

  Status receive(void* to, Device& from, const void* there, size_t bytes) override {
    CudaDevice& other = static_cast<CudaDevice&>(from);
    WENQU_CUDA(cudaSetDevice(other.index_), "be used");
    WENQU_CUDA(cudaEventRecord(other.handed_, other.stream_), "hand over a copy");
    WENQU_CUDA(cudaSetDevice(index_), "be used");
    reach(other.index_);
    WENQU_CUDA(cudaStreamWaitEvent(stream_, other.handed_, 0), "take over a copy");
    WENQU_CUDA(cudaMemcpyPeerAsync(to, index_, there, other.index_, bytes, stream_), "take over a copy");
    return {};
  }

  Status clear(void* memory, size_t bytes) override {
    WENQU_CUDA(cudaSetDevice(index_), "be used");
    WENQU_CUDA(cudaMemsetAsync(memory, 0, bytes, stream_), "clear memory");
    return {};
  }

  Status download(void* to, const void* from, size_t bytes) override {
    WENQU_CUDA(cudaSetDevice(index_), "be used");
    WENQU_CUDA(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, stream_), "give a copy");
    return synchronize();
  }

  Status synchronize() override {
    WENQU_CUDA(cudaSetDevice(index_), "be used");
    WENQU_CUDA(cudaStreamSynchronize(stream_), "finish its work");
    return {};
  }

  Status launch(const Launch& launch) override {
    if (launch.kernel < 0 || launch.kernel >= entry_count()) return Status(StatusCode::internal, "there is no such kernel", "CUDA");
    const Entry& entry = entries()[launch.kernel];
    if (launch.argument_bytes != entry.argument_bytes) return Status(StatusCode::internal, "arguments of another kernel", "CUDA");
    WENQU_CUDA(cudaSetDevice(index_), "be used");
    void* arguments[] = {const_cast<void*>(launch.arguments)};
    cudaLaunchConfig_t config{};
    config.gridDim = dim3(launch.grid.x, launch.grid.y, launch.grid.z), config.blockDim = dim3(launch.threads);
    config.dynamicSmemBytes = launch.shared_bytes, config.stream = stream_;
    cudaLaunchAttribute early{};   // as the kernels expect (entries.cu)
    early.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    early.val.programmaticStreamSerializationAllowed = 1;
    config.attrs = &early, config.numAttrs = early_ ? 1 : 0;
    WENQU_CUDA(cudaLaunchKernelExC(&config, entry.function, arguments), "launch a kernel");
    return {};
  }

  Status begin_recording() override {
    WENQU_CUDA(cudaSetDevice(index_), "be used");
    WENQU_CUDA(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), "record");
    return {};
  }

  Result<Graph*> end_recording() override {
    cudaGraph_t graph = nullptr;
    WENQU_CUDA(cudaStreamEndCapture(stream_, &graph), "record");
    cudaGraphExec_t executable = nullptr;
    const cudaError_t error = cudaGraphInstantiate(&executable, graph, 0);
    cudaGraphDestroy(graph);
    if (error != cudaSuccess) return failed(error, "take in what was recorded");
    return static_cast<Graph*>(new CudaGraph(executable));
  }

  Status replay(Graph& graph) override {
    WENQU_CUDA(cudaSetDevice(index_), "be used");
    WENQU_CUDA(cudaGraphLaunch(static_cast<CudaGraph&>(graph).get(), stream_), "launch what was recorded");
    return {};
  }

  void discard(Graph* graph) noexcept override { delete graph; }

 private:
  struct Staging {
    void* memory = nullptr;
    cudaEvent_t sent = nullptr;
  };

  explicit CudaDevice(int index) : index_(index) {}

  // Copies go straight from GPU to GPU where the machine can; through the host's memory where it cannot.
  void reach(int other) {
    if (!reached_.insert(other).second) return;
    int can = 0;
    if (cudaDeviceCanAccessPeer(&can, index_, other) == cudaSuccess && can) cudaDeviceEnablePeerAccess(other, 0);
    cudaGetLastError();
  }

  Status start() {
    cudaDeviceProp properties;
    WENQU_CUDA(cudaGetDeviceProperties(&properties, index_), "tell what it is");
    info_.name = properties.name;
    info_.compute_capability = properties.major * 10 + properties.minor;
    info_.multiprocessors = properties.multiProcessorCount;
    info_.memory_bytes = properties.totalGlobalMem;
    info_.shared_bytes = properties.sharedMemPerBlockOptin;
    cudaDriverGetVersion(&info_.driver_version);
    cudaRuntimeGetVersion(&info_.runtime_version);
    if (info_.compute_capability < 75)
      return Status(StatusCode::unsupported,
                    fmt::format("{} has compute capability {}.{}; 7.5 or later is needed", info_.name, properties.major, properties.minor), "CUDA");
    WENQU_CUDA(cudaSetDevice(index_), "be used");
    // All kernels are loaded now: nothing is while launches are recorded. A build for other cards has no code for this one.
    for (int i = 0; i < entry_count(); ++i) {
      const void* const function = entries()[i].function;
      cudaFuncAttributes attributes;
      if (const cudaError_t error = cudaFuncGetAttributes(&attributes, function); error != cudaSuccess) {
        cudaGetLastError();
        if (is_lost(error)) return failed(error, "load a kernel");
        return Status(StatusCode::unsupported,
                      fmt::format("this build has no kernels for {} (compute capability {}.{}): {}: scripts/build-cuda builds the module for all GPUs that "
                                  "it runs on", info_.name, properties.major, properties.minor, cudaGetErrorString(error)),
                      "CUDA");
      }
      early_ = attributes.ptxVersion >= 90;   // the code knows of it (entries.cu), whatever the card
      WENQU_CUDA(cudaFuncSetAttribute(function, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                      static_cast<int>(info_.shared_bytes - attributes.sharedSizeBytes)),
                 "give a kernel its shared memory");
    }
    WENQU_CUDA(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "make a stream");
    WENQU_CUDA(cudaEventCreateWithFlags(&handed_, cudaEventDisableTiming), "make an event");
    for (Staging& staging : stagings_) {
      WENQU_CUDA(cudaHostAlloc(&staging.memory, kStagingBytes, cudaHostAllocDefault), "pin memory");
      WENQU_CUDA(cudaEventCreateWithFlags(&staging.sent, cudaEventDisableTiming), "make an event");
    }
    return {};
  }

  // Only Hopper has them, and only where they give what they should: kernels for others do the same in more time.
  Status try_warpgroups() {
    if (info_.compute_capability != 90) return {};
    if (const char* const wanted = std::getenv(kWarpgroups); wanted && std::string_view(wanted) == "0") {
      info_.no_warpgroups = fmt::format("switched off by {}=0", kWarpgroups);
      return {};
    }
    Result<bool> works = multiplies_by_warpgroups(*this);
    if (!works) return Status(works.status().code(), fmt::format("{}; {}=0 does without warpgroups' products", works.status().message(), kWarpgroups), "CUDA");
    info_.warpgroups = *works;
    if (!*works) info_.no_warpgroups = "they gave wrong products when the GPU was opened: the driver or this build may be at fault";
    return {};
  }

  const int index_;
  DeviceInfo info_;
  bool early_ = false;             // programmatic dependent launch
  cudaStream_t stream_ = nullptr;
  cudaEvent_t handed_ = nullptr;   // what others wait for who take over copies
  std::set<int> reached_;
  Staging stagings_[kStagings];
  int next_ = 0;
};

Result<int> count() {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error == cudaErrorInsufficientDriver) {
    int driver = 0, runtime = 0;
    cudaDriverGetVersion(&driver), cudaRuntimeGetVersion(&runtime);
    const auto version = [](int number) { return fmt::format("{}.{}", number / 1000, number % 1000 / 10); };
    return Status(StatusCode::not_found,
                  fmt::format("the NVIDIA driver knows CUDA {}, but this module was built with {}: install a newer driver (CUDA 13 needs 580 or later)",
                              version(driver), version(runtime)),
                  "CUDA");
  }
  if (error != cudaSuccess)
    return Status(StatusCode::not_found, fmt::format("no GPU can be used: {} ({})", cudaGetErrorString(error), cudaGetErrorName(error)), "CUDA");
  return count;
}

}  // namespace

extern "C" __attribute__((visibility("default"))) const Module wenqu_cuda_module = {WENQU_CUDA_INTERFACE, sizeof(Status), count, CudaDevice::open};

}  // namespace wenqu::engine::cuda
