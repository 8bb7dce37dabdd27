#include "retrieval/documents/xml.h"

#include <expat.h>

#include <algorithm>
#include <exception>
#include <memory>
#include <new>

#include "retrieval/documents/read_limits.h"

namespace wenqu::retrieval {
namespace {

constexpr size_t kPieceBytes = 64 << 10;

std::string_view without_prefix(std::string_view name) {
  const size_t colon = name.rfind(':');
  return colon == std::string_view::npos ? name : name.substr(colon + 1);
}

struct FreeParser {
  void operator()(XML_ParserStruct* parser) const { XML_ParserFree(parser); }
};

// No exception may pass through expat, which is C.
class XmlReader {
 public:
  explicit XmlReader(XmlVisitor& visitor) : visitor_(visitor), parser_(XML_ParserCreate(nullptr)) {}

  Status run(std::string_view xml, const CancelToken& cancel) {
    if (!parser_) return out_of_memory();
    XML_SetUserData(parser_.get(), this);
    XML_SetElementHandler(parser_.get(), &XmlReader::on_open, &XmlReader::on_close);
    XML_SetCharacterDataHandler(parser_.get(), &XmlReader::on_text);
    XML_SetEntityDeclHandler(parser_.get(), &XmlReader::on_entity);
    for (bool last = false; !last;) {
      WENQU_RETURN_IF_ERROR(cancel.status());
      const std::string_view piece = xml.substr(0, kPieceBytes);
      xml.remove_prefix(piece.size());
      last = xml.empty();
      if (XML_Parse(parser_.get(), piece.data(), static_cast<int>(piece.size()), last) != XML_STATUS_OK) return failure();
    }
    return {};
  }

 private:
  static Status out_of_memory() { return Status(StatusCode::out_of_memory, "no memory to read the XML"); }

  Status failure() const {
    if (!stopped_) return stopped_;
    const XML_Error error = XML_GetErrorCode(parser_.get());
    if (error == XML_ERROR_NO_MEMORY) return out_of_memory();
    return Status(StatusCode::corrupt, std::string("not well-formed XML: ") + XML_ErrorString(error),
                  "line " + std::to_string(XML_GetCurrentLineNumber(parser_.get())));
  }

  void stop(Status why) {
    stopped_ = std::move(why);
    XML_StopParser(parser_.get(), XML_FALSE);
  }

  template <typename Call>
  void guarded(Call&& call) {
    if (!stopped_) return;
    try {
      call();
    } catch (const std::bad_alloc&) {
      stop(out_of_memory());
    } catch (const std::exception& error) {
      stop(Status(StatusCode::internal, error.what()));
    }
  }

  static void on_open(void* data, const char* name, const char** attributes) {
    auto& reader = *static_cast<XmlReader*>(data);
    reader.guarded([&] {
      if (++reader.depth_ > kMaxXmlDepth)
        return reader.stop(Status(StatusCode::limit_exceeded,
                                  "the XML is nested deeper than " + std::to_string(kMaxXmlDepth) + " levels"));
      reader.visitor_.open(without_prefix(name), XmlAttributes(attributes));
    });
  }
  static void on_close(void* data, const char* name) {
    auto& reader = *static_cast<XmlReader*>(data);
    reader.guarded([&] {
      --reader.depth_;
      reader.visitor_.close(without_prefix(name));
    });
  }
  static void on_text(void* data, const char* text, int size) {
    auto& reader = *static_cast<XmlReader*>(data);
    reader.guarded([&] { reader.visitor_.text({text, static_cast<size_t>(size)}); });
  }
  static void on_entity(void* data, const char*, int, const char*, int, const char*, const char*, const char*, const char*) {
    auto& reader = *static_cast<XmlReader*>(data);
    reader.guarded([&] { reader.stop(Status(StatusCode::corrupt, "the XML declares entities, which is refused")); });
  }

  XmlVisitor& visitor_;
  std::unique_ptr<XML_ParserStruct, FreeParser> parser_;
  Status stopped_;
  int depth_ = 0;
};

}  // namespace

std::string_view XmlAttributes::operator[](std::string_view name) const {
  for (const char** pair = pairs_; pair[0]; pair += 2)
    if (without_prefix(pair[0]) == name) return pair[1];
  return {};
}

Status visit_xml(std::string_view xml, XmlVisitor& visitor, const CancelToken& cancel) {
  return XmlReader(visitor).run(xml, cancel);
}

}  // namespace wenqu::retrieval
