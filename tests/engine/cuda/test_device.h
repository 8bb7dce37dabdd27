// The device that tests of kernels and models run on: the emulator, or with WENQU_TEST_DEVICE=cuda (cuda:1 ...) a GPU.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <utility>

#include "engine/device/choose.h"
#include "tests/engine/cuda/emulated_kernels.h"
#include "tests/engine/cuda/emulator.h"

namespace wenqu::test {

class TestDevice final : public Device {
 public:
  TestDevice() {
    if (const char* name = std::getenv("WENQU_TEST_DEVICE"); name && *name) {
      static const Result<engine::device::Chosen> chosen = engine::device::choose_device(name);
      if (chosen && !chosen->devices.empty()) device_ = chosen->devices.front();
      else ADD_FAILURE() << chosen.status().to_string();
    }
    if (device_) return;
    emulator_ = std::make_shared<Emulator>(emulated_kernels());
    device_ = emulator_;
  }

  // nullptr: the tests run on a GPU, which tells nothing of what it does.
  Emulator* emulator() const { return emulator_.get(); }
  // What downloads answer from now on; ok: they are done.
  void fail_downloads(Status with) { failing_ = std::move(with); }

  const DeviceInfo& info() const override { return device_->info(); }
  size_t free_bytes() const override { return device_->free_bytes(); }
  Result<void*> allocate(size_t bytes) override { return device_->allocate(bytes); }
  void release(void* memory) noexcept override { device_->release(memory); }
  Status upload(void* to, const void* from, size_t bytes) override { return device_->upload(to, from, bytes); }
  Status copy(void* to, const void* from, size_t bytes) override { return device_->copy(to, from, bytes); }
  Status clear(void* memory, size_t bytes) override { return device_->clear(memory, bytes); }
  Status receive(void* to, Device& from, const void* there, size_t bytes) override {
    return device_->receive(to, *static_cast<TestDevice&>(from).device_, there, bytes);
  }
  Status download(void* to, const void* from, size_t bytes) override { return failing_ ? device_->download(to, from, bytes) : failing_; }
  Status synchronize() override { return device_->synchronize(); }
  Status launch(const Launch& launch) override { return device_->launch(launch); }
  Status begin_recording() override { return device_->begin_recording(); }
  Result<Graph*> end_recording() override { return device_->end_recording(); }
  Status replay(Graph& graph) override { return device_->replay(graph); }
  void discard(Graph* graph) noexcept override { device_->discard(graph); }

 private:
  std::shared_ptr<Device> device_;
  std::shared_ptr<Emulator> emulator_;
  Status failing_;
};

}  // namespace wenqu::test
