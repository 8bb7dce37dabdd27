// Weights in memory of our own instead of the mapped file: in large pages, and quantized rows eight side by side
// (cpu/interleaved.h). One token's products with them come nearer to what the memory can give.
#pragma once

#include <functional>

#include "base/status.h"
#include "engine/model/config.h"
#include "engine/model/weights.h"
#include "engine/ops/compute.h"

namespace wenqu::engine {

// What the copies take.
size_t repacked_bytes(const cpu::Kernels& kernels, const Config& config, Weights& weights);

// Copies the matrices that a batch is multiplied by and has the weights point to the copies; the embedding, of which rows
// are looked up, stays where it is. `done` is told the part that is copied, on the calling thread, and may stop it by an
// error. `mapped`: the weights are views into a mapped file, whose pages may leave memory when they are copied.
// Errors: out_of_memory, cancelled; the weights then point to what they did before, or to copies.
Status repack(const ops::Compute& compute, const Config& config, bool mapped, const std::function<Status(double part)>& done, Weights& weights);

}  // namespace wenqu::engine
