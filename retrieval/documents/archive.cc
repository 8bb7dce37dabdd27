#include "retrieval/documents/archive.h"

#include <zip.h>

#include <algorithm>

#include "retrieval/documents/read_limits.h"

namespace wenqu::retrieval {
namespace {

constexpr size_t kBlockBytes = 64 << 10;

Status describe(zip_error_t* error, std::string where) {
  const int code = zip_error_code_zip(error);
  const std::string text = zip_error_strerror(error);
  if (code == ZIP_ER_MEMORY) return Status(StatusCode::out_of_memory, "no memory to unpack it", std::move(where));
  if (code == ZIP_ER_NOENT) return Status(StatusCode::not_found, "the archive has no such part", std::move(where));
  if (code == ZIP_ER_NOPASSWD || code == ZIP_ER_WRONGPASSWD || code == ZIP_ER_COMPNOTSUPP || code == ZIP_ER_ENCRNOTSUPP)
    return Status(StatusCode::unsupported, "the archive is encrypted or packed in an unknown way: " + text, std::move(where));
  return Status(StatusCode::corrupt, "the archive is damaged: " + text, std::move(where));
}

struct CloseFile {
  void operator()(zip_file_t* file) const { zip_fclose(file); }
};

}  // namespace

void Archive::Close::operator()(zip* archive) const { zip_discard(archive); }

Result<Archive> Archive::open(std::string_view bytes) {
  zip_error_t error;
  zip_error_init(&error);
  zip_source_t* source = zip_source_buffer_create(bytes.data(), bytes.size(), 0, &error);
  if (!source) return describe(&error, {});
  zip_t* opened = zip_open_from_source(source, ZIP_RDONLY, &error);
  if (!opened) {
    zip_source_free(source);
    const Status status = describe(&error, {});
    zip_error_fini(&error);
    return status;
  }
  Archive archive(opened);
  if (zip_get_num_entries(opened, 0) > static_cast<zip_int64_t>(kMaxArchiveParts))
    return Status(StatusCode::limit_exceeded, "the archive has more than " + std::to_string(kMaxArchiveParts) + " parts");
  return archive;
}

Result<std::string> Archive::read(const std::string& name, const CancelToken& cancel) {
  const std::unique_ptr<zip_file_t, CloseFile> file(zip_fopen(archive_.get(), name.c_str(), 0));
  if (!file) return describe(zip_get_error(archive_.get()), name);
  std::string content;
  for (;;) {
    WENQU_RETURN_IF_ERROR(cancel.status());
    const size_t before = content.size();
    content.resize(before + kBlockBytes);
    const zip_int64_t got = zip_fread(file.get(), content.data() + before, kBlockBytes);
    if (got < 0) return describe(zip_file_get_error(file.get()), name);
    content.resize(before + static_cast<size_t>(got));
    unpacked_ += static_cast<uint64_t>(got);
    if (got == 0) return content;
    if (content.size() > kMaxPartBytes || unpacked_ > kMaxUnpackedBytes)
      return Status(StatusCode::limit_exceeded, "the archive is too large unpacked", name);
  }
}

}  // namespace wenqu::retrieval
