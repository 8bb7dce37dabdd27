#include "retrieval/store/lucene_call.h"

#include <lucene++/LuceneHeaders.h>
#include <lucene++/RAMDirectory.h>
#include <lucene++/Similarity.h>

#include <mutex>
#include <new>

#include "base/utf8.h"

namespace wenqu::retrieval {

Status status_of_current_exception(std::string_view doing) {
  const std::string prefix = "failed while " + std::string(doing) + ": ";
  try {
    throw;
  } catch (const Lucene::LuceneException& error) {
    StatusCode code = StatusCode::internal;
    switch (error.getType()) {
      case Lucene::LuceneException::CorruptIndex: code = StatusCode::corrupt; break;
      case Lucene::LuceneException::OutOfMemory: code = StatusCode::out_of_memory; break;
      case Lucene::LuceneException::IO:
      case Lucene::LuceneException::FileNotFound:
      case Lucene::LuceneException::NoSuchDirectory:
      case Lucene::LuceneException::Merge: code = StatusCode::io_error; break;
      default: break;
    }
    const std::string text = from_wide(error.getError());
    return Status(code, prefix + (text.empty() ? "no reason given" : text));
  } catch (const std::bad_alloc&) {
    return Status(StatusCode::out_of_memory, prefix + "not enough memory");
  } catch (const std::exception& error) {
    return Status(StatusCode::internal, prefix + error.what());
  } catch (...) {
    return Status(StatusCode::internal, prefix + "unknown exception");
  }
}

void warm_up_lucene() {
  static std::once_flag once;
  std::call_once(once, [] {
    // What fails here fails again, and is reported, where it matters.
    (void)call_lucene("warming up", [] {
      using namespace Lucene;
      const auto directory = newLucene<RAMDirectory>();
      const auto writer = newLucene<IndexWriter>(directory, newLucene<KeywordAnalyzer>(), true,
                                                 IndexWriter::MaxFieldLengthUNLIMITED);
      const auto document = newLucene<Document>();
      document->add(newLucene<Field>(L"f", L"a b", Field::STORE_YES, Field::INDEX_ANALYZED));
      writer->addDocument(document);
      writer->commit();
      const auto reader = IndexReader::open(directory, true);
      const auto term = newLucene<Term>(L"f", L"a b");
      reader->termDocs(term)->next();
      reader->document(0)->get(L"f");
      reader->norms(L"f");
      writer->deleteDocuments(term);
      reader->close();
      writer->close();
      Similarity::getNormDecoder();
    }).is_ok();
  });
}

std::wstring to_wide(std::string_view utf8) {
  const std::u32string points = utf8_to_utf32(utf8);
  return std::wstring(points.begin(), points.end());
}

std::string from_wide(std::wstring_view wide) {
  std::string utf8;
  for (wchar_t c : wide) utf8_append(utf8, static_cast<char32_t>(c));
  return utf8;
}

std::wstring id_to_wide(std::string_view id) {
  std::wstring term;
  for (char c : id) term += static_cast<wchar_t>(static_cast<unsigned char>(c));
  return term;
}

std::string id_from_wide(std::wstring_view term) {
  std::string id;
  for (wchar_t c : term) id += static_cast<char>(c);
  return id;
}

}  // namespace wenqu::retrieval
