// Segments that we write, held against those that Lucene++'s own writer makes of the same documents.
#include <gtest/gtest.h>
#include <lucene++/LuceneHeaders.h>
#include <lucene++/CheckIndex.h>
#include <lucene++/FSDirectory.h>
#include <lucene++/RAMDirectory.h>
#include <lucene++/SegmentInfo.h>
#include <lucene++/SegmentInfos.h>
#include <lucene++/SegmentReader.h>
#include <lucene++/TermDocs.h>

#include <filesystem>
#include <random>

#include "index_fixture.h"
#include "retrieval/index/inverter.h"
#include "retrieval/index/merge_choice.h"
#include "retrieval/index/open_segment.h"
#include "retrieval/index/record.h"
#include "retrieval/index/segment_merge.h"
#include "retrieval/index/segment_output.h"
#include "retrieval/store/lucene_call.h"

namespace wenqu::retrieval {
namespace {

using Lucene::newLucene;

struct Made {
  Document document;
  std::vector<Term> title;
  std::vector<std::vector<Term>> passages;
};

Term term(std::string text, Term::Kind kind) {
  Term made;
  made.text = std::move(text);
  made.kind = kind;
  return made;
}

std::string word(std::mt19937& random) {
  // Few common ones, many rare ones, of one to four bytes a character.
  static const std::vector<std::string> letters = {"a", "b", "z", "é", "灯", "笼", "𠀀", "~"};
  std::string text;
  const unsigned range = random() % 3 == 0 ? 8 : 2;
  for (unsigned i = 1 + random() % 4; i > 0; --i) text += letters[random() % range];
  return text;
}

std::vector<Term> words(std::mt19937& random, unsigned most) {
  std::vector<Term> terms;
  for (unsigned i = random() % (most + 1); i > 0; --i) terms.push_back(term(word(random), static_cast<Term::Kind>(random() % 3)));
  return terms;
}

std::vector<Made> make_documents(unsigned seed, int count) {
  std::mt19937 random(seed);
  std::vector<Made> made;
  for (int i = 0; i < count; ++i) {
    Made one;
    one.document.id = "文档/" + std::to_string(i);
    one.document.source = static_cast<Source>(random() % 5);
    one.document.text = std::string(random() % 50, 'x');
    one.title = words(random, 3);
    for (unsigned passages = 1 + random() % 3; passages > 0; --passages) one.passages.push_back(words(random, 30));
    made.push_back(std::move(one));
  }
  return made;
}

Passage passage_of(size_t ordinal) {
  Passage passage;
  passage.ordinal = static_cast<uint32_t>(ordinal);
  passage.text = "passage " + std::to_string(ordinal);
  return passage;
}

Lucene::FieldPtr keyword(const wchar_t* name, const std::wstring& value) {
  return newLucene<Lucene::Field>(name, value, Lucene::Field::STORE_NO, Lucene::Field::INDEX_NOT_ANALYZED_NO_NORMS);
}

Lucene::FieldPtr stored(const wchar_t* name, const std::string& bytes) {
  auto value = Lucene::ByteArray::newInstance(static_cast<int32_t>(bytes.size()));
  std::copy(bytes.begin(), bytes.end(), value.get());
  return newLucene<Lucene::Field>(name, value, Lucene::Field::STORE_YES);
}

// As wenqu wrote documents before it had a writer of its own.
void write_with_lucene(const std::vector<Made>& documents, const Lucene::DirectoryPtr& directory, int32_t buffered) {
  const auto writer = newLucene<Lucene::IndexWriter>(directory, newLucene<Lucene::WhitespaceAnalyzer>(), true,
                                                     Lucene::IndexWriter::MaxFieldLengthUNLIMITED);
  writer->setMaxBufferedDocs(buffered);
  writer->setMergeFactor(1000);
  for (const Made& made : documents) {
    const auto record = newLucene<Lucene::Document>();
    record->add(keyword(kIdField, id_to_wide(made.document.id)));
    record->add(keyword(kKindField, kRecordKind));
    record->add(stored(kPropertiesField, encode_properties(made.document)));
    record->add(stored(kTextField, made.document.text));
    writer->addDocument(record);
    for (size_t i = 0; i < made.passages.size(); ++i) {
      const auto entry = newLucene<Lucene::Document>();
      entry->add(keyword(kIdField, id_to_wide(made.document.id)));
      entry->add(keyword(kKindField, kind_of_source(made.document.source)));
      entry->add(stored(kPassageField, encode_passage(passage_of(i))));
      std::map<std::wstring, std::wstring> fields;
      const auto add = [&](TermField field, const std::string& text) {
        fields[kTermFieldNames[static_cast<size_t>(field)]] += to_wide(text) + L" ";
      };
      for (const Term& one : made.passages[i]) add(body_field(one.kind), one.text);
      for (const Term& one : made.title)
        for (const TermField field : fields_of(one.kind)) add(field, one.text);
      for (const auto& [name, text] : fields)
        entry->add(newLucene<Lucene::Field>(name, text, Lucene::Field::STORE_NO, Lucene::Field::INDEX_ANALYZED));
      writer->addDocument(entry);
    }
  }
  writer->close();
}

void invert(const std::vector<Made>& documents, Inverter& inverter) {
  for (const Made& made : documents) {
    inverter.begin_document(made.document, made.title);
    for (size_t i = 0; i < made.passages.size(); ++i) inverter.add_passage(passage_of(i), made.passages[i]);
  }
}

// All terms with their postings, and all stored fields, as one text.
std::string describe(const Lucene::IndexReaderPtr& reader) {
  std::string text;
  const auto terms = reader->terms();
  const auto docs = reader->termDocs();
  while (terms->next()) {
    docs->seek(terms->term());
    std::string postings;
    while (docs->next()) postings += std::to_string(docs->doc()) + "*" + std::to_string(docs->freq()) + " ";
    // A term whose documents are all deleted stays with Lucene++ until they are merged away.
    if (!postings.empty()) text += from_wide(terms->term()->field()) + ":" + from_wide(terms->term()->text()) + " " + postings + "\n";
  }
  for (int32_t doc = 0; doc < reader->maxDoc(); ++doc) {
    if (reader->isDeleted(doc)) continue;
    const auto document = reader->document(doc);
    for (const wchar_t* name : {kPropertiesField, kTextField, kPassageField}) {
      const Lucene::ByteArray bytes = document->getBinaryValue(name);
      if (bytes) text += from_wide(name) + "=" + std::string(reinterpret_cast<const char*>(bytes.get()), static_cast<size_t>(bytes.size())) + "\n";
    }
  }
  return text;
}

class SegmentTest : public IndexTest {
 protected:
  void SetUp() override {
    IndexTest::SetUp();
    warm_up_lucene();
    std::filesystem::create_directories(directory_);
    writer_ = newLucene<WriterDirectory>(directory_, nullptr);
  }

  std::shared_ptr<const OpenSegment> open(const SegmentOutput& output, uint32_t documents) {
    CommittedFiles files;
    for (const std::string& name : output.files()) {
      ManifestFile entry{name};
      entry.bytes = *writer_->written(name)->size();
      entry.crc = *writer_->written(name)->checksum(entry.bytes);
      files[name] = std::make_shared<CommittedFile>(CommittedFile{*File::open(directory_ + "/" + name), entry});
    }
    const auto info = newLucene<Lucene::SegmentInfo>(to_wide(output.name()), static_cast<int32_t>(documents),
                                                     Lucene::DirectoryPtr(writer_), output.is_compound(), true, -1,
                                                     Lucene::String(), false, true);
    info->setDiagnostics(Lucene::MapStringString::newInstance());
    auto opened = OpenSegment::open(info, std::move(files));
    EXPECT_TRUE(opened) << opened.status().to_string();
    return opened ? *opened : nullptr;
  }

  std::shared_ptr<const OpenSegment> segment_of(const std::vector<Made>& documents, const std::string& name,
                                                SegmentOutput::Shape shape = SegmentOutput::Shape::compound) {
    Inverter inverter;
    invert(documents, inverter);
    auto output = *SegmentOutput::create(*writer_, name, shape);
    EXPECT_OK(inverter.write(*output));
    return open(*output, inverter.size());
  }

  boost::shared_ptr<WriterDirectory> writer_;
};

TEST_F(SegmentTest, HoldsWhatLucenesOwnWriterWouldHold) {
  for (const unsigned seed : {1u, 2u, 3u}) {
    const auto documents = make_documents(seed, seed == 1 ? 1500 : 100);
    const auto directory = newLucene<Lucene::RAMDirectory>();
    write_with_lucene(documents, directory, 1'000'000);
    const auto theirs = Lucene::IndexReader::open(directory, true);
    for (const auto shape : {SegmentOutput::Shape::compound, SegmentOutput::Shape::files}) {
      const auto ours = segment_of(documents, "_" + std::to_string(seed) + (shape == SegmentOutput::Shape::files ? "f" : "c"), shape);
      ASSERT_TRUE(ours);
      ASSERT_EQ(describe(ours->reader()), describe(theirs)) << seed;
    }
    theirs->close();
  }
}

TEST_F(SegmentTest, SkipsAndLooksUpAsLucenesOwn) {
  const auto documents = make_documents(4, 3000);
  const auto directory = newLucene<Lucene::RAMDirectory>();
  write_with_lucene(documents, directory, 1'000'000);
  const auto theirs = Lucene::IndexReader::open(directory, true);
  const auto ours = segment_of(documents, "_0");
  ASSERT_TRUE(ours);
  std::mt19937 random(4);
  int compared = 0;
  for (int i = 0; i < 3000; ++i) {
    const auto key = newLucene<Lucene::Term>(Lucene::String(kTermFieldNames[random() % kTermFields]), to_wide(word(random)));
    ASSERT_EQ(ours->reader()->docFreq(key), theirs->docFreq(key));
    const auto a = ours->reader()->termDocs(key);
    const auto b = theirs->termDocs(key);
    for (int32_t target = 0; target < theirs->maxDoc(); target += 1 + static_cast<int32_t>(random() % 900)) {
      const bool there = a->skipTo(target);
      ASSERT_EQ(there, b->skipTo(target));
      if (!there) break;
      ASSERT_EQ(a->doc(), b->doc());
      ASSERT_EQ(a->freq(), b->freq());
      target = a->doc();
      ++compared;
    }
  }
  EXPECT_GT(compared, 1000);
  theirs->close();
}

TEST_F(SegmentTest, AMergeHoldsWhatIsLeftOfItsSourcesInTheirOrder) {
  std::mt19937 random(5);
  const auto documents = make_documents(5, 400);
  std::vector<MergeSource> sources;
  std::vector<Made> left;
  for (size_t part = 0; part < 4; ++part) {
    const std::vector<Made> some(documents.begin() + static_cast<ptrdiff_t>(part * 100), documents.begin() + static_cast<ptrdiff_t>(part * 100 + 100));
    const auto segment = segment_of(some, "_" + std::to_string(part),
                                    part % 2 ? SegmentOutput::Shape::files : SegmentOutput::Shape::compound);
    ASSERT_TRUE(segment);
    auto deletions = std::make_shared<Deletions>(static_cast<uint32_t>(segment->size()));
    uint32_t place = 0;
    for (const Made& made : some) {
      const bool gone = part == 2 || (part != 3 && random() % 3 == 0);
      if (!gone) left.push_back(made);
      for (size_t i = 0; i <= made.passages.size(); ++i, ++place)
        if (gone) deletions->add(place);
    }
    sources.push_back({segment, part == 3 ? nullptr : deletions});
  }
  auto output = *SegmentOutput::create(*writer_, "_m", SegmentOutput::Shape::files);
  ASSERT_TRUE(merge_segments(sources, *output, CancelToken()));
  const auto merged = open(*output, surviving_documents(sources));
  const auto wanted = segment_of(left, "_w");
  ASSERT_TRUE(merged && wanted);
  EXPECT_EQ(describe(merged->reader()), describe(wanted->reader()));
  EXPECT_EQ(merged->kinds(), wanted->kinds());
  for (size_t field = 0; field < kTermFields; ++field)
    for (int32_t doc = 0; doc < merged->size(); ++doc)
      ASSERT_EQ(merged->lengths()[field][doc], wanted->lengths()[field][doc]);
  CancelSource cancel;
  cancel.cancel();
  auto unfinished = *SegmentOutput::create(*writer_, "_n", SegmentOutput::Shape::files);
  EXPECT_EQ(merge_segments(sources, *unfinished, cancel.token()).code(), StatusCode::cancelled);
}

// Indexes of before, whose segments share their stored fields, are opened, changed and merged.
TEST_F(IndexTest, SegmentsThatLuceneWroteAreReadAndMerged) {
  warm_up_lucene();
  const IndexPaths paths(directory_);
  const auto documents = make_documents(6, 90);
  std::filesystem::create_directories(paths.lucene);
  write_with_lucene(documents, Lucene::FSDirectory::open(to_wide(paths.lucene)), 40);
  Manifest manifest;
  manifest.commit = 1;
  for (const auto& entry : std::filesystem::directory_iterator(paths.lucene)) {
    const std::string name = entry.path().filename().string();
    if (name == "segments.gen" || name.ends_with(".lock")) continue;
    const File file = *File::open(entry.path().string());
    manifest.files.push_back({name, *file.size(), *file.checksum(*file.size())});
  }
  ASSERT_TRUE(write_manifest(paths, manifest));
  std::map<std::string, std::string> texts;
  for (const Made& made : documents) texts[made.document.id] = made.document.text;
  auto index = open(Index::Mode::write);
  ASSERT_TRUE(index);
  EXPECT_OK(index->remove("文档/7"));
  texts.erase("文档/7");
  EXPECT_OK(index->add(make_document("new", "lantern")));
  texts["new"] = "lantern";
  EXPECT_OK(index->commit());
  const auto before = ids(find(*index, "zz", 1000));
  EXPECT_OK(index->optimize(CancelToken()));
  EXPECT_EQ(index->stats().documents, texts.size());
  for (const auto& [id, text] : texts) {
    const auto document = index->fetch(id);
    ASSERT_TRUE(document) << id;
    EXPECT_EQ(document->text, text);
  }
  EXPECT_FALSE(index->fetch("文档/7"));
  EXPECT_FALSE(before.empty());
  EXPECT_EQ(ids(find(*index, "zz", 1000)), before);
}

TEST_F(IndexTest, LucenesOwnCheckFindsNoFault) {
  IndexOptions options;
  options.own_threads = false;
  options.merge_factor = 4;
  auto index = *Index::open(directory_, Index::Mode::write, options);
  std::mt19937 random(7);
  for (int i = 0; i < 300; ++i) {
    EXPECT_OK(index->add(make_document("doc" + std::to_string(random() % 150), "灯笼 lantern lantern " + std::to_string(random() % 50), "标题")));
    if (random() % 4 == 0) EXPECT_OK(index->remove("doc" + std::to_string(random() % 150)));
    if (i % 10 == 9) EXPECT_OK(index->commit());
  }
  EXPECT_OK(index->commit());
  // Only the files of the newest commit: the check looks at whatever lies there.
  const std::string copy = root_ + "/copy";
  std::filesystem::create_directories(copy);
  const auto manifest = read_manifest(IndexPaths(directory_).manifest);
  ASSERT_TRUE(manifest);
  for (const ManifestFile& file : manifest->files)
    std::filesystem::copy_file(directory_ + "/lucene/" + file.name, copy + "/" + file.name);
  const auto checker = newLucene<Lucene::CheckIndex>(Lucene::FSDirectory::open(to_wide(copy)));
  const auto status = checker->checkIndex();
  ASSERT_TRUE(status);
  EXPECT_TRUE(status->clean);
  EXPECT_EQ(status->totLoseDocCount, 0);
}

TEST(Deletions, ReadWhatTheyWroteAndRefuseWhatDoesNotFit) {
  const std::string path = make_test_folder() + "/bits";
  std::mt19937 random(8);
  const auto decode = [&](const std::string& bytes, uint32_t documents) {
    std::filesystem::remove(path);
    File file = *File::create(path);
    EXPECT_OK(file.write_at(0, bytes));
    return Deletions::decode(ByteSource(std::make_shared<File>(std::move(file)), 0, bytes.size()), documents);
  };
  for (int i = 0; i < 200; ++i) {
    const uint32_t documents = 1 + random() % 5000;
    Deletions deletions(documents);
    for (unsigned left = random() % (i % 2 ? 10 : documents + 1); left > 0; --left) deletions.add(random() % documents);
    std::string bytes = deletions.encode();
    const auto decoded = decode(bytes, documents);
    ASSERT_TRUE(decoded) << decoded.status().to_string();
    ASSERT_EQ(decoded->bytes(), deletions.bytes());
    ASSERT_EQ(decoded->count(), deletions.count());
    EXPECT_FALSE(decode(bytes, documents + 1));
    bytes[random() % bytes.size()] = static_cast<char>(random());
    (void)decode(bytes, documents).is_ok();
    EXPECT_FALSE(decode(bytes.substr(0, 7), documents));
  }
  std::filesystem::remove_all(std::filesystem::path(path).parent_path());
}

// Segments of one unit come one after the other, as with frequent commits.
TEST(MergeChoice, KeepsSegmentsFewAndWritesEachDocumentSeldomAgain) {
  std::vector<SegmentSize> segments;
  uint64_t written = 0;
  size_t most = 0;
  constexpr uint64_t kUnit = 2 << 20;
  constexpr int kSegments = 20'000;
  for (int i = 0; i < kSegments; ++i) {
    segments.push_back({kUnit, 1, 0});
    while (const auto choice = choose_merge(segments, 10, MergeWish::as_needed)) {
      ASSERT_LT(choice->begin, choice->end);
      ASSERT_LE(choice->end, segments.size());
      SegmentSize merged;
      for (size_t s = choice->begin; s < choice->end; ++s) {
        merged.bytes += segments[s].bytes;
        merged.documents += segments[s].documents;
      }
      written += merged.bytes;
      segments.erase(segments.begin() + static_cast<ptrdiff_t>(choice->begin), segments.begin() + static_cast<ptrdiff_t>(choice->end));
      segments.insert(segments.begin() + static_cast<ptrdiff_t>(choice->begin), merged);
    }
    most = std::max(most, segments.size());
  }
  EXPECT_LE(most, 50u);
  EXPECT_LE(static_cast<double>(written), 6.0 * kUnit * kSegments);
}

TEST(MergeChoice, GoesTowardsOneSegmentWhenIdleUnlessThatRewritesFarMoreThanIsNew) {
  const SegmentSize large{uint64_t{1} << 30, 1000, 0}, small{1 << 20, 10, 0};
  const auto near = choose_merge({large, large, large}, 10, MergeWish::when_idle);
  ASSERT_TRUE(near);
  EXPECT_EQ(near->begin, 0u);
  EXPECT_EQ(near->end, 3u);
  const auto far = choose_merge({large, small, small}, 10, MergeWish::when_idle);
  ASSERT_TRUE(far);
  EXPECT_EQ(far->begin, 1u);
  EXPECT_FALSE(choose_merge({large, small}, 10, MergeWish::when_idle));
  EXPECT_FALSE(choose_merge({large}, 10, MergeWish::one));
  EXPECT_TRUE(choose_merge({{1 << 20, 10, 5}}, 10, MergeWish::as_needed));
  EXPECT_FALSE(choose_merge({}, 10, MergeWish::one));
}

}  // namespace
}  // namespace wenqu::retrieval
