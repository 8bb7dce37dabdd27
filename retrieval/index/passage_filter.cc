#include "retrieval/index/passage_filter.h"

#include <lucene++/Lucene.h>
#include <lucene++/IndexReader.h>
#include <lucene++/Term.h>
#include <lucene++/TermDocs.h>
#include <lucene++/TermEnum.h>

#include <algorithm>
#include <array>
#include <limits>
#include <optional>

#include "retrieval/index/filter_terms.h"
#include "retrieval/index/snapshot.h"
#include "retrieval/store/lucene_call.h"

namespace wenqu::retrieval {
namespace {

Lucene::TermPtr term_of(std::string_view text) {
  return Lucene::newLucene<Lucene::Term>(Lucene::String(kKindField), id_to_wide(text));
}

// Adds the passages of the documents whose records hold the term. Throws what Lucene++ throws.
void add_documents(const Snapshot& snapshot, const Snapshot::Segment& segment, const Lucene::TermPtr& term,
                   PassageSet& passages) {
  const std::vector<uint8_t>& kinds = snapshot.kinds();
  const auto docs = segment.reader->termDocs(term);
  while (docs->next())
    for (int32_t doc = segment.base + docs->doc() + 1;
         static_cast<size_t>(doc) < kinds.size() && kinds[static_cast<size_t>(doc)] < Snapshot::kRecord; ++doc)
      passages.insert(doc);
  docs->close();
}

PassageSet with_terms(const Snapshot& snapshot, const std::vector<std::string>& terms) {
  PassageSet passages(snapshot.kinds().size());
  for (const Snapshot::Segment& segment : snapshot.segments())
    for (const std::string& term : terms)
      if (!term.empty()) add_documents(snapshot, segment, term_of(term), passages);
  return passages;
}

PassageSet published(const Snapshot& snapshot, int64_t from, int64_t until) {
  PassageSet passages(snapshot.kinds().size());
  const std::wstring last = id_to_wide(time_term(until));
  for (const Snapshot::Segment& segment : snapshot.segments()) {
    const auto terms = segment.reader->terms(term_of(time_term(from)));
    for (Lucene::TermPtr term = terms->term(); term && term->field() == kKindField && term->text() <= last; term = terms->term()) {
      add_documents(snapshot, segment, term, passages);
      if (!terms->next()) break;
    }
    terms->close();
  }
  return passages;
}

PassageSet of_sources(const Snapshot& snapshot, const std::vector<Source>& sources) {
  std::array<bool, 256> wanted{};
  for (size_t kind = 0; kind < Snapshot::kRecord; ++kind) wanted[kind] = sources.empty();
  for (const Source source : sources) wanted[static_cast<size_t>(source)] = true;
  const std::vector<uint8_t>& kinds = snapshot.kinds();
  PassageSet passages(kinds.size());
  for (size_t doc = 0; doc < kinds.size(); ++doc)
    if (wanted[kinds[doc]]) passages.insert(static_cast<int32_t>(doc));
  return passages;
}

void put(std::string& key, std::string_view text) { key += std::to_string(text.size()) + ":" + std::string(text); }

// The same for filters that mean the same passages.
std::string key_of(std::vector<Source> sources, const Filter& filter) {
  std::string key;
  std::sort(sources.begin(), sources.end());
  for (const Source source : sources) key += static_cast<char>('0' + static_cast<int>(source));
  put(key, filter.published_from);
  put(key, filter.published_until);
  for (const auto& [name, values] : filter.attributes) {
    put(key, name);
    key += std::to_string(values.size()) + "=";
    for (const std::string& value : values) put(key, value);
  }
  if (!filter.principals) return key;
  key += "p";
  std::vector<std::string> principals = *filter.principals;
  std::sort(principals.begin(), principals.end());
  for (const std::string& principal : principals) put(key, principal);
  return key;
}

// What the filter says of times; from the least to the greatest where it says nothing.
Result<TimeSpan> time_of(const Filter& filter) {
  TimeSpan span{std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max()};
  for (const bool is_end : {false, true}) {
    const std::string& text = is_end ? filter.published_until : filter.published_from;
    if (text.empty()) continue;
    const auto time = parse_time(text);
    if (!time)
      return Status(StatusCode::invalid_argument, "'" + text.substr(0, 40) + "' is no ISO 8601 date or date-time",
                    is_end ? "published_until" : "published_from");
    (is_end ? span.last : span.first) = is_end ? time->last : time->first;
  }
  return span;
}

// Throws what Lucene++ throws.
PassageSet find_passages(const Snapshot& snapshot, const std::vector<Source>& sources, const Filter& filter,
                         const TimeSpan& time) {
  PassageSet passages = of_sources(snapshot, sources);
  if (!filter.published_from.empty() || !filter.published_until.empty())
    passages.keep_only(published(snapshot, time.first, time.last));
  for (const auto& [name, values] : filter.attributes) {
    std::vector<std::string> terms;
    for (const std::string& value : values) terms.push_back(attribute_term(name, value));
    passages.keep_only(with_terms(snapshot, terms));
  }
  if (filter.principals) {
    std::vector<std::string> terms;
    for (const std::string& principal : *filter.principals) terms.push_back(principal_term(principal));
    PassageSet allowed = of_sources(snapshot, {});
    allowed.remove(with_terms(snapshot, {std::string(kRestrictedTerm)}));
    allowed.add(with_terms(snapshot, terms));
    passages.keep_only(allowed);
  }
  return passages;
}

}  // namespace

Result<std::shared_ptr<const PassageSet>> PassageFilter::passages(const std::vector<Source>& sources,
                                                                  const Filter& filter) const {
  if (sources.empty() && filter.is_empty()) return std::shared_ptr<const PassageSet>();
  WENQU_ASSIGN_OR_RETURN(const TimeSpan time, time_of(filter));
  std::string key = key_of(sources, filter);
  {
    const std::lock_guard lock(mutex_);
    const auto found = std::find_if(kept_.begin(), kept_.end(), [&](const auto& entry) { return entry.first == key; });
    if (found != kept_.end()) {
      kept_.splice(kept_.begin(), kept_, found);
      return found->second;
    }
  }
  std::shared_ptr<const PassageSet> passages;
  WENQU_RETURN_IF_ERROR(call_lucene("filtering", [&] {
    passages = std::make_shared<const PassageSet>(find_passages(snapshot_, sources, filter, time));
  }));
  const std::lock_guard lock(mutex_);
  bytes_ += passages->bytes();
  kept_.emplace_front(std::move(key), passages);
  for (; bytes_ > kMaxBytes && kept_.size() > 1; kept_.pop_back()) bytes_ -= kept_.back().second->bytes();
  return passages;
}

}  // namespace wenqu::retrieval
