// Title, author and date as Office files and books write them (Dublin Core). Thread safety: one thread at a time.
#pragma once

#include <string>

#include "retrieval/documents/extracted.h"
#include "retrieval/documents/xml.h"

namespace wenqu::retrieval {

// Gathers dc:title, dc:creator and dcterms:created or dc:date into an Extracted; the first of each counts.
class PropertiesVisitor : public XmlVisitor {
 public:
  explicit PropertiesVisitor(Extracted& out) : out_(out) {}

  void open(std::string_view name, const XmlAttributes& attributes) override;
  void close(std::string_view name) override;
  void text(std::string_view piece) override;

 private:
  Extracted& out_;
  std::string* into_ = nullptr;
};

}  // namespace wenqu::retrieval
