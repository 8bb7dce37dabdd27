#include "retrieval/store/stream.h"

#include <algorithm>

#include "retrieval/store/lucene_call.h"

namespace wenqu::retrieval {
namespace {

// Postings are read in long runs; stored fields are a few kilobytes each.
constexpr int32_t kReadBuffer = 4096;

}  // namespace

void throw_lucene_io(const Status& status) {
  boost::throw_exception(Lucene::IOException(to_wide(status.to_string())));
}

FileInput::FileInput(std::shared_ptr<const File> file, uint64_t size)
    : BufferedIndexInput(kReadBuffer), file_(std::move(file)), size_(size) {}

Lucene::LuceneObjectPtr FileInput::clone(const Lucene::LuceneObjectPtr& other) {
  const auto copy = BufferedIndexInput::clone(other ? other : Lucene::newLucene<FileInput>());
  const auto input = boost::dynamic_pointer_cast<FileInput>(copy);
  input->file_ = file_;
  input->size_ = size_;
  return copy;
}

void FileInput::readInternal(uint8_t* bytes, int32_t offset, int32_t size) {
  const int64_t position = getFilePointer();
  if (position < 0 || size < 0 || static_cast<uint64_t>(position) > size_ ||
      static_cast<uint64_t>(size) > size_ - static_cast<uint64_t>(position))
    throw_lucene_io(Status(StatusCode::corrupt, "read past the end of the file", file_->path()));
  const Status result =
      file_->read_at(static_cast<uint64_t>(position), bytes + offset, static_cast<size_t>(size));
  if (!result) throw_lucene_io(result);
}

FileOutput::FileOutput(std::shared_ptr<File> file, std::shared_ptr<Status> status)
    : file_(std::move(file)), status_(std::move(status)) {}

void FileOutput::check(const Status& result) {
  if (result) return;
  if (*status_) *status_ = result;
  throw_lucene_io(result);
}

void FileOutput::flushBuffer(const uint8_t* bytes, int32_t offset, int32_t size) {
  check(file_->write_at(position_, {reinterpret_cast<const char*>(bytes) + offset, static_cast<size_t>(size)}));
  position_ += static_cast<uint64_t>(size);
  size_ = std::max(size_, position_);
}

void FileOutput::seek(int64_t position) {
  BufferedIndexOutput::seek(position);
  position_ = static_cast<uint64_t>(position);
}

void FileOutput::close() {
  if (!open_) return;
  open_ = false;
  BufferedIndexOutput::close();
  file_.reset();
}

}  // namespace wenqu::retrieval
