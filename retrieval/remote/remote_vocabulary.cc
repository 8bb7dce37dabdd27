#include "retrieval/remote/remote_vocabulary.h"

#include <string>
#include <utility>

#include "retrieval/remote/statistics.h"

namespace wenqu::retrieval {

Result<std::shared_ptr<const Lexicon>> read_remote_lexicon(const Cluster& cluster, std::shared_ptr<const Lexicon> earlier, const CancelToken& cancel) {
  auto body = cluster.get(std::string(kVocabularyKey), cancel);
  if (body.status().code() == StatusCode::not_found) return Lexicon::plain();
  if (!body) return body.status();
  auto vocabulary = parse_vocabulary_note(std::move(*body));
  if (!vocabulary) return vocabulary.status().at(cluster.name());
  if (earlier && *vocabulary == earlier->vocabulary()) return earlier;
  return Lexicon::create(std::move(*vocabulary));
}

Result<std::shared_ptr<const Lexicon>> teach_remote_index(const Cluster& cluster, std::shared_ptr<const Lexicon> kept,
                                                          const VocabularyChange& change) {
  Vocabulary wanted = changed(kept->vocabulary(), change);
  if (wanted == kept->vocabulary()) return kept;
  WENQU_RETURN_IF_ERROR(check_vocabulary(wanted));
  if (!same_terms(wanted, kept->vocabulary())) {
    // Also what was sent a moment ago counts.
    WENQU_RETURN_IF_ERROR(cluster.refresh({}));
    WENQU_ASSIGN_OR_RETURN(const TermStatistics statistics, RemoteStatistics(cluster).of({}, {}));
    if (statistics.totals.documents > 0) return remote_words_mismatch(cluster);
  }
  WENQU_ASSIGN_OR_RETURN(std::shared_ptr<const Lexicon> lexicon, Lexicon::create(std::move(wanted)));
  WENQU_RETURN_IF_ERROR(cluster.bulk({vocabulary_note(lexicon->vocabulary())}, {}));
  return lexicon;
}

Status remote_words_mismatch(const Cluster& cluster) {
  return Status(StatusCode::version_mismatch,
                "the documents were analysed with other words, or with or without pinyin, than these: name none, and those of "
                "the index hold; or make another index with these",
                cluster.name());
}

}  // namespace wenqu::retrieval
