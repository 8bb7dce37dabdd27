// Lucene++'s streams over our File. Failures are thrown as Lucene::IOException, the only language
// Lucene++ understands.
#pragma once

#include <lucene++/Lucene.h>
#include <lucene++/BufferedIndexInput.h>
#include <lucene++/BufferedIndexOutput.h>

#include <memory>

#include "retrieval/store/file.h"

namespace wenqu::retrieval {

[[noreturn]] void throw_lucene_io(const Status& status);

// Reads a file of known length; clones share it. Every read is checked against the length.
class FileInput : public Lucene::BufferedIndexInput {
 public:
  FileInput() = default;  // for clone()
  FileInput(std::shared_ptr<const File> file, uint64_t size);

  int64_t length() override { return static_cast<int64_t>(size_); }
  Lucene::LuceneObjectPtr clone(const Lucene::LuceneObjectPtr& other = Lucene::LuceneObjectPtr()) override;

 protected:
  void readInternal(uint8_t* bytes, int32_t offset, int32_t size) override;
  void seekInternal(int64_t) override {}

 private:
  std::shared_ptr<const File> file_;
  uint64_t size_ = 0;
};

// Writes a file, which stays open for its other owner to synchronise: only the descriptor that wrote
// is sure to be told of what the disk refused. The first failure is also left in `status`, where
// Lucene++ cannot lose it.
class FileOutput : public Lucene::BufferedIndexOutput {
 public:
  FileOutput(std::shared_ptr<File> file, std::shared_ptr<Status> status);

  using BufferedIndexOutput::flushBuffer;
  void flushBuffer(const uint8_t* bytes, int32_t offset, int32_t size) override;
  void seek(int64_t position) override;
  int64_t length() override { return static_cast<int64_t>(size_); }
  void close() override;

 private:
  void check(const Status& result);

  std::shared_ptr<File> file_;
  std::shared_ptr<Status> status_;
  uint64_t position_ = 0;  // where the next buffer goes
  uint64_t size_ = 0;
  bool open_ = true;
};

}  // namespace wenqu::retrieval
