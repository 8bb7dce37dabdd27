// XML as a stream of events. Names come without their namespace prefix. A document that declares entities is
// refused: small ones can stand for endless texts, and no format read here needs them.
// Thread safety: pure.
#pragma once

#include <string_view>

#include "base/cancel.h"
#include "base/status.h"

namespace wenqu::retrieval {

// An element's attributes, valid during the call.
class XmlAttributes {
 public:
  explicit XmlAttributes(const char** pairs) : pairs_(pairs) {}
  // Empty when absent. `name` is without a prefix.
  std::string_view operator[](std::string_view name) const;

 private:
  const char** pairs_;
};

class XmlVisitor {
 public:
  virtual ~XmlVisitor() = default;
  virtual void open(std::string_view name, const XmlAttributes& attributes) = 0;
  virtual void close(std::string_view name) = 0;
  virtual void text(std::string_view piece) = 0;   // valid UTF-8; texts come in pieces
};

// Errors: corrupt, with the line; limit_exceeded (nested deeper than kMaxXmlDepth), out_of_memory, cancelled,
// deadline_exceeded.
Status visit_xml(std::string_view xml, XmlVisitor& visitor, const CancelToken& cancel);

}  // namespace wenqu::retrieval
