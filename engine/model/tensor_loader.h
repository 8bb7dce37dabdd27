// Takes tensors out of a model file by name, held against the shape that the hyper-parameters call for, and knows in the
// end which ones nobody took.
//
// Thread safety: one thread at a time. Lifetime: matrices are views into the file, which outlives them.
#pragma once

#include <fmt/format.h>

#include <initializer_list>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "base/status.h"
#include "engine/cpu/kernels.h"
#include "engine/gguf/file.h"
#include "engine/ops/matmul.h"

namespace wenqu::engine {

class TensorLoader {
 public:
  explicit TensorLoader(const gguf::File& file) : file_(file) {}

  bool has(const std::string& name) const { return file_.tensor(name) != nullptr; }

  // shape: inputs, outputs and, for a stack, the number of matrices.
  Status matrix(const std::string& name, std::initializer_list<uint64_t> shape, ops::Matrix& out) {
    const gguf::Tensor* tensor = nullptr;
    WENQU_RETURN_IF_ERROR(find(name, shape, tensor));
    out.type = tensor->type;
    out.data = tensor->data;
    out.inputs = tensor->ne[0];
    out.outputs = tensor->ne[1];
    out.row_bytes = tensor->row_bytes();
    out.stride_bytes = out.outputs * out.row_bytes;
    return {};
  }

  Status vector(const std::string& name, uint64_t size, std::vector<float>& out) {
    const gguf::Tensor* tensor = nullptr;
    WENQU_RETURN_IF_ERROR(find(name, {size}, tensor));
    if (tensor->type != gguf::Type::f32 && tensor->type != gguf::Type::f16 && tensor->type != gguf::Type::bf16)
      return Status(StatusCode::unsupported,
                    fmt::format("has the type {}; a vector must be F32, F16 or BF16", gguf::type_traits(tensor->type).name),
                    fmt::format("tensor '{}'", name));
    out.resize(size);
    cpu::dequantize_row(tensor->type, tensor->data, size, out.data());
    return {};
  }
  Status vector_if_any(const std::string& name, uint64_t size, std::vector<float>& out) {
    return has(name) ? vector(name, size, out) : Status();
  }

  // Of tensors, by the beginning of their names, that somebody else reads or that are of no use beside others.
  void pass_over(std::string_view beginning) {
    for (const gguf::Tensor& tensor : file_.tensors())
      if (tensor.name.starts_with(beginning)) taken_.insert(tensor.name);
  }
  // A model that is computed without some of its tensors is another one. Errors: unsupported, with the first of them.
  Status all_taken() const {
    for (const gguf::Tensor& tensor : file_.tensors())
      if (!taken_.contains(tensor.name))
        return Status(StatusCode::unsupported,
                      "is not computed: the model has parts that are not supported, or its metadata or its other tensors are not those of this model",
                      fmt::format("tensor '{}'", tensor.name));
    return {};
  }

 private:
  Status find(const std::string& name, std::initializer_list<uint64_t> shape, const gguf::Tensor*& out) {
    out = file_.tensor(name);
    if (!out)
      return Status(StatusCode::corrupt, "is missing: the file is incomplete or of another kind of model",
                    fmt::format("tensor '{}'", name));
    taken_.insert(out->name);
    size_t d = 0;
    bool fits = true;
    for (uint64_t wanted : shape) fits = fits && out->ne[d++] == wanted;
    for (; d < 4; ++d) fits = fits && out->ne[d] == 1;
    if (fits) return {};
    return Status(StatusCode::corrupt,
                  fmt::format("has the shape [{}], the hyper-parameters call for [{}]",
                              fmt::join(out->ne.begin(), out->ne.begin() + out->n_dims, ", "), fmt::join(shape, ", ")),
                  fmt::format("tensor '{}'", name));
  }

  const gguf::File& file_;
  std::unordered_set<std::string_view> taken_;   // names, which are views into the file
};

}  // namespace wenqu::engine
