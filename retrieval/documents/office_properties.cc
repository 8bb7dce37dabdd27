#include "retrieval/documents/office_properties.h"

namespace wenqu::retrieval {

void PropertiesVisitor::open(std::string_view name, const XmlAttributes&) {
  into_ = nullptr;
  if (name == "title") into_ = &out_.title;
  if (name == "creator") into_ = &out_.author;
  if (name == "created" || name == "date") into_ = &out_.published_at;
  if (into_ && !into_->empty()) into_ = nullptr;
}

void PropertiesVisitor::close(std::string_view) { into_ = nullptr; }

void PropertiesVisitor::text(std::string_view piece) {
  constexpr size_t kMaxBytes = 4096;
  if (into_ && into_->size() < kMaxBytes) *into_ += piece;
}

}  // namespace wenqu::retrieval
