#include "retrieval/index/segment_list.h"

#include <lucene++/SegmentInfo.h>
#include <lucene++/SegmentInfos.h>
#include <lucene++/SegmentReader.h>
#include <lucene++/Term.h>
#include <lucene++/TermDocs.h>

#include <algorithm>

#include "retrieval/index/schema.h"
#include "retrieval/index/segment_output.h"
#include "retrieval/store/crc32c.h"
#include "retrieval/store/lucene_call.h"

namespace wenqu::retrieval {
namespace {

using Lucene::newLucene;

// Only a hint of Lucene++ about its newest commit, written anew each time; the manifest knows better.
constexpr const char* kHintFile = "segments.gen";

}  // namespace

Status SegmentList::open(const Snapshot* committed, bool without_documents) {
  const auto directory = newLucene<WriterDirectory>(folder_, committed ? &committed->manifest() : nullptr);
  live_.clear();
  segments_file_.clear();
  WENQU_RETURN_IF_ERROR(call_lucene("opening the index for writing", [&] {
    infos_ = newLucene<Lucene::SegmentInfos>();
    if (committed) {
      infos_->read(Lucene::DirectoryPtr(directory));
      segments_file_ = from_wide(infos_->getCurrentSegmentFileName());
      for (int32_t i = 0; i < infos_->size(); ++i) {
        const Snapshot::Segment& segment = committed->segments().at(static_cast<size_t>(i));
        std::shared_ptr<Deletions> deletions;
        if (segment.deletions) deletions = std::make_shared<Deletions>(*segment.deletions);
        live_.push_back({infos_->info(i), segment.open, std::move(deletions), false});
      }
    }
    next_name_ = std::max(next_name_, infos_->counter);
  }));
  if (without_documents) {
    live_.clear();
    rearranged_ = true;
  }
  directory_ = directory;
  return {};
}

void SegmentList::close() {
  if (directory_ && ::getpid() == owner_)
    for (const auto& [name, entry] : fresh_) directory_->remove(name);
  directory_.reset();
  infos_.reset();
  live_.clear();
  fresh_.clear();
  lasting_.clear();
  doubtful_.clear();
  rearranged_ = false;
}

std::vector<std::shared_ptr<const OpenSegment>> SegmentList::opened() const {
  std::vector<std::shared_ptr<const OpenSegment>> opened;
  for (const Live& live : live_) opened.push_back(live.open);
  return opened;
}

uint64_t SegmentList::surviving_documents() const {
  uint64_t documents = 0;
  for (const Live& live : live_) documents += static_cast<uint64_t>(live.open->size()) - live.deleted();
  return documents;
}

Status SegmentList::add(Inverter& gathered) {
  if (gathered.size() == 0) return {};
  const Deletions deletions = gathered.deletions();
  if (deletions.count() == gathered.size()) {
    gathered.clear();
    return {};
  }
  const std::string name = segment_name(next_name_++);
  WENQU_ASSIGN_OR_RETURN(auto output, SegmentOutput::create(*directory_, name, SegmentOutput::Shape::compound));
  Status status = gathered.write(*output);
  Result<FinishedSegment> finished = status ? open_finished(directory_, *output, gathered.size()) : Result<FinishedSegment>(status);
  if (!finished) {
    for (const std::string& file : output->files()) directory_->remove(file);
    return finished.status();
  }
  for (const ManifestFile& entry : finished->entries) fresh_[entry.name] = entry;
  Live live{finished->info, finished->open, nullptr, false};
  if (deletions.count() > 0) {
    live.deletions = std::make_shared<Deletions>(deletions);
    live.deletions_unwritten = true;
  }
  live_.push_back(std::move(live));
  rearranged_ = true;
  gathered.clear();
  return {};
}

Result<std::vector<SegmentList::Place>> SegmentList::find(const std::string& document_id) const {
  std::vector<Place> places;
  if (live_.empty()) return places;
  Status status;
  WENQU_RETURN_IF_ERROR(call_lucene("looking for a document", [&] {
    const auto id = newLucene<Lucene::Term>(Lucene::String(kIdField), id_to_wide(document_id));
    for (size_t i = 0; status && i < live_.size(); ++i) {
      const Live& live = live_[i];
      if (!live.open->may_hold(document_id)) continue;
      const auto docs = live.open->reader()->termDocs(id);
      while (status && docs->next()) {
        const int32_t doc = docs->doc();
        if (doc < 0 || doc >= live.open->size())
          status = Status(StatusCode::corrupt, "a document lies outside of its segment", live.open->name());
        else if (!live.deletions || !live.deletions->contains(static_cast<uint32_t>(doc)))
          places.push_back({i, static_cast<uint32_t>(doc)});
      }
      docs->close();
    }
  }));
  if (!status) return status;
  return places;
}

void SegmentList::remove(const std::vector<Place>& places) {
  for (const Place& place : places) changed_deletions(live_[place.segment]).add(place.document);
}

// Snapshots and merges may share the bits, so a change begins with a copy.
Deletions& SegmentList::changed_deletions(Live& live) {
  if (!live.deletions_unwritten || !live.deletions) {
    live.deletions = std::make_shared<Deletions>(live.deletions ? *live.deletions
                                                                : Deletions(static_cast<uint32_t>(live.open->size())));
    live.deletions_unwritten = true;
    rearranged_ = true;
  }
  return *live.deletions;
}

void SegmentList::drop_file(const std::string& name) {
  fresh_.erase(name);
  directory_->remove(name);
}

void SegmentList::forget(const Live& live) {
  for (const auto& [name, file] : live.open->files()) {
    // Segments that Lucene++ wrote may share the file of their stored fields.
    const bool shared = std::any_of(live_.begin(), live_.end(), [&, &name = name](const Live& other) {
      return other.open != live.open && other.open->files().contains(name);
    });
    if (!shared) drop_file(name);
  }
  if (const std::string deletions = deletions_name(live.info); !deletions.empty()) drop_file(deletions);
}

void SegmentList::drop_empty_segments() {
  for (size_t i = 0; i < live_.size();) {
    if (live_[i].deleted() < static_cast<uint32_t>(live_[i].open->size())) {
      ++i;
      continue;
    }
    const Live empty = live_[i];
    live_.erase(live_.begin() + static_cast<ptrdiff_t>(i));
    forget(empty);
    rearranged_ = true;
  }
}

Status SegmentList::write_file(const std::string& name, const std::string& content) {
  WENQU_ASSIGN_OR_RETURN(const auto file, directory_->create(name));
  if (const Status written = file->write_at(0, content); !written) {
    directory_->remove(name);
    return written;
  }
  fresh_[name] = {name, content.size(), crc32c(content)};
  return {};
}

// Its number comes from that of the segments, so that no name is given twice, which the segments file has to say.
Result<std::string> SegmentList::add_file(std::string_view prefix, const std::string& content) {
  std::string name = std::string(prefix) + segment_name(next_name_++).substr(1);
  WENQU_RETURN_IF_ERROR(write_file(name, content));
  rearranged_ = true;
  return name;
}

Status SegmentList::write_deletions() {
  for (Live& live : live_) {
    if (!live.deletions_unwritten) continue;
    if (const std::string before = deletions_name(live.info); !before.empty()) drop_file(before);
    live.info->advanceDelGen();
    live.info->setDelCount(static_cast<int32_t>(live.deletions->count()));
    WENQU_RETURN_IF_ERROR(write_file(from_wide(live.info->getDelFileName()), live.deletions->encode()));
    live.deletions_unwritten = false;
  }
  return {};
}

Status SegmentList::write_segments_file() {
  // A copy for each attempt, which keeps the number of the file: one that fails may stay in the middle of it.
  infos_->clear();
  infos_ = boost::dynamic_pointer_cast<Lucene::SegmentInfos>(infos_->clone());
  for (const Live& live : live_) infos_->add(live.info);
  infos_->counter = next_name_;
  (void)directory_->take_write_status().is_ok();   // of an attempt before
  infos_->commit(Lucene::DirectoryPtr(directory_));
  directory_->remove(kHintFile);
  const std::string written = from_wide(infos_->getCurrentSegmentFileName());
  if (const Status status = directory_->take_write_status(); !status) {
    directory_->remove(written);
    return status;
  }
  if (!segments_file_.empty()) drop_file(segments_file_);
  segments_file_ = written;
  WENQU_ASSIGN_OR_RETURN(fresh_[segments_file_], entry_of(*directory_, segments_file_));
  rearranged_ = false;
  return {};
}

Status SegmentList::write() {
  Status status;
  WENQU_RETURN_IF_ERROR(call_lucene("writing the segments", [&] {
    drop_empty_segments();
    status = write_deletions();
    if (status && (rearranged_ || segments_file_.empty())) status = write_segments_file();
  }));
  return status;
}

Status SegmentList::make_last(const ManifestFile& entry) {
  if (lasting_.contains(entry.name)) return {};
  const std::shared_ptr<File> file = directory_->written(entry.name);
  if (!file)
    return Status(StatusCode::internal, "a file of the commit was not written by it", folder_ + "/" + entry.name);
  if (doubtful_.contains(entry.name)) WENQU_RETURN_IF_ERROR(file->write_again(entry.bytes));
  if (const Status synced = file->sync(); !synced) {
    doubtful_.insert(entry.name);
    return synced;
  }
  doubtful_.erase(entry.name);
  WENQU_RETURN_IF_ERROR(verify_file(*file, entry));
  lasting_.insert(entry.name);
  return {};
}

Result<std::vector<ManifestFile>> SegmentList::describe(const Manifest* before, const std::set<std::string>& others, bool lasting) {
  std::map<std::string, ManifestFile> known;
  if (before)
    for (const ManifestFile& file : before->files) known.emplace(file.name, file);
  std::set<std::string> names = others;
  if (!segments_file_.empty()) names.insert(segments_file_);
  WENQU_RETURN_IF_ERROR(call_lucene("listing the commit", [&] {
    for (const Live& live : live_) {
      for (const auto& [name, file] : live.open->files()) names.insert(name);
      if (const std::string deletions = deletions_name(live.info); !deletions.empty()) names.insert(deletions);
    }
  }));
  std::vector<ManifestFile> files;
  for (const std::string& name : names) {
    if (const auto fresh = fresh_.find(name); fresh != fresh_.end()) {
      if (lasting) WENQU_RETURN_IF_ERROR(make_last(fresh->second));
      files.push_back(fresh->second);
    } else if (const auto found = known.find(name); found != known.end()) {
      files.push_back(found->second);
    } else {
      return Status(StatusCode::internal, "a file of the commit is not known", folder_ + "/" + name);
    }
  }
  return files;
}

void SegmentList::committed() {
  for (const auto& [name, entry] : fresh_) directory_->release(name);
  fresh_.clear();
  lasting_.clear();
  doubtful_.clear();
}

std::unique_ptr<MergeJob> SegmentList::plan_merge(MergeWish wish, size_t factor) {
  std::vector<SegmentSize> sizes;
  for (const Live& live : live_)
    sizes.push_back({live.open->bytes(), static_cast<uint32_t>(live.open->size()), live.deleted()});
  const auto choice = choose_merge(sizes, factor, wish);
  if (!choice) return nullptr;
  std::vector<MergeSource> sources;
  for (size_t i = choice->begin; i < choice->end; ++i) {
    // What is deleted later must not change under the merge.
    std::shared_ptr<const Deletions> deletions;
    if (live_[i].deletions) deletions = std::make_shared<const Deletions>(*live_[i].deletions);
    sources.push_back({live_[i].open, std::move(deletions)});
  }
  return std::make_unique<MergeJob>(std::move(sources), segment_name(next_name_++), directory_);
}

Result<bool> SegmentList::finish_merge(MergeJob& merge) {
  const std::vector<MergeSource>& sources = merge.sources();
  const auto begin = std::find_if(live_.begin(), live_.end(),
                                  [&](const Live& live) { return live.open == sources.front().segment; });
  bool fits = merge.is_done() && merge.directory() == directory_ &&
              static_cast<size_t>(live_.end() - begin) >= sources.size();
  for (size_t i = 0; fits && i < sources.size(); ++i)
    fits = begin[static_cast<ptrdiff_t>(i)].open == sources[i].segment;
  if (!fits) {
    merge.drop();
    return false;
  }
  Live merged{merge.merged().info, merge.merged().open, nullptr, false};
  uint32_t number = 0;
  std::vector<Live> replaced;
  for (size_t i = 0; i < sources.size(); ++i) {
    const Live& now = begin[static_cast<ptrdiff_t>(i)];
    for (uint32_t doc = 0; doc < static_cast<uint32_t>(now.open->size()); ++doc) {
      if (sources[i].deletions && sources[i].deletions->contains(doc)) continue;
      if (now.deletions && now.deletions->contains(doc) && merged.open) changed_deletions(merged).add(number);
      ++number;
    }
    replaced.push_back(now);
  }
  const auto place = live_.erase(begin, begin + static_cast<ptrdiff_t>(sources.size()));
  if (merged.open) live_.insert(place, std::move(merged));
  for (const ManifestFile& entry : merge.merged().entries) {
    fresh_[entry.name] = entry;
    lasting_.insert(entry.name);
  }
  rearranged_ = true;
  WENQU_RETURN_IF_ERROR(call_lucene("dropping merged segments", [&] {
    for (const Live& live : replaced) forget(live);
  }));
  return true;
}

}  // namespace wenqu::retrieval
