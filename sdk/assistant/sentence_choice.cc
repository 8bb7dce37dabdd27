#include "sdk/assistant/sentence_choice.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "base/utf8.h"
#include "retrieval/analysis/analyzer.h"
#include "retrieval/documents/passages.h"
#include "sdk/assistant/language.h"
#include "sdk/assistant/support.h"

namespace wenqu::assistant {
namespace {

// A passage (with its title) that holds less of the question's weight than this supports no answer. Chosen on DRCD
// dev with half of its articles indexed (scripts/eval-refusals), so that most questions about that half are answered
// and most of those about the other half refused.
constexpr double kMinSupport = 0.37, kMinSupportChinese = 0.38;
// A follow-up's passage must hold this much of the follow-up's own words.
constexpr double kMinFollowUpSupport = 0.4;
constexpr double kContextShare = 0.6;       // worth of words that stand around the sentence only
// Worth, beside all words of the question, of all that it takes over from those before it, and of its names. Little where it
// says enough itself, least where it stands alone.
constexpr double kContextOfLittle = 0.7, kContextOfEnough = 0.3, kContextBesideNames = 0.3, kNames = 0.4, kContextOfAlone = 0.15, kContextOfFew = 0.3;
constexpr double kRankShare = 0.3;          // worth of being found first
constexpr double kQuantityBonus = 0.25;     // the question asks for a number and the sentence has one
constexpr double kFollowUpShare = 0.9;      // worth of answering a follow-up rather than the question
constexpr double kMinShareOfBest = 0.55;    // sentences far below the best are noise
constexpr size_t kMaxSentencesPerDocument = 2;
constexpr size_t kMostJoining = 2;          // sentences that stand between two chosen ones and are told too
constexpr size_t kMaxSentenceChars = 300;
constexpr size_t kMinSentenceChars = 4;

bool contains_any(std::string_view text, std::initializer_list<std::string_view> words) {
  return std::any_of(words.begin(), words.end(), [&](std::string_view w) { return text.find(w) != text.npos; });
}

bool asks_for_quantity(std::string_view question) {
  return contains_any(question, {"多少", "几", "什么时候", "何时", "哪年", "哪天", "哪一年", "哪一天", "多久", "多长", "多大", "多高",
                                 "多遠", "多远", "電話", "电话", "號碼", "号码", "價錢", "价钱", "how many", "How many", "how much",
                                 "How much", "how long", "How long", "how old", "How old", "when ", "When ", "what time",
                                 "What time", "what year", "What year", "which year", "Which year", "how far", "How far", "how tall",
                                 "How tall", "price", "cost", "number"});
}

bool has_quantity(std::string_view text) {
  for (const char c : text)
    if (c >= '0' && c <= '9') return true;
  return contains_any(text, {"一", "二", "两", "兩", "三", "四", "五", "六", "七", "八", "九", "十", "百", "千", "万", "半"});
}

// What a passage is held to: the question, or the words of the follow-up search that found it.
struct Asked {
  Support support;
  size_t next_rank = 0;
};

std::string clipped(std::string_view sentence) {
  const size_t end = utf8_offset(sentence, kMaxSentenceChars);
  std::string text(sentence.substr(0, end));
  if (end < sentence.size()) text += "…";
  return text;
}

struct Candidate {
  ChosenSentence sentence;
  size_t order;            // place among all sentences, to break ties; those that follow each other in a passage do so here
};

// The chosen ones as a reader wants them: documents by their best sentence, a document's as they stand, and between two the few that
// join them. `all`: every candidate by its order.
std::vector<ChosenSentence> put_in_order(const std::vector<const Candidate*>& chosen, const std::map<size_t, const Candidate*>& all) {
  std::map<std::string_view, std::pair<size_t, std::map<size_t, const Candidate*>>> documents;
  for (const Candidate* candidate : chosen) {
    auto& [best, sentences] = documents.try_emplace(candidate->sentence.evidence->hit.passage.document_id, documents.size(), std::map<size_t, const Candidate*>()).first->second;
    sentences.emplace(candidate->order, candidate);
  }
  std::vector<const std::map<size_t, const Candidate*>*> by_best(documents.size());
  for (const auto& [id, document] : documents) by_best[document.first] = &document.second;
  std::vector<ChosenSentence> sentences;
  for (const auto* document : by_best) {
    const Candidate* last = nullptr;
    for (const auto& [order, candidate] : *document) {
      if (last && candidate->sentence.evidence == last->sentence.evidence && order - last->order <= kMostJoining + 1)
        for (size_t between = last->order + 1; between < order; ++between) sentences.push_back(all.at(between)->sentence);
      sentences.push_back((last = candidate)->sentence);
    }
  }
  return sentences;
}

// The question's terms, and for less those that it leans on.
Result<std::vector<retrieval::WeighedTerm>> weigh(const retrieval::Retriever& retriever, const AskedQuestion& asked, const CancelToken& cancel) {
  WENQU_ASSIGN_OR_RETURN(std::vector<retrieval::WeighedTerm> terms, retriever.weigh(asked.text, true, cancel));
  if (asked.context.empty()) return terms;
  // "When?" alone is searched as it is written; here it asks.
  if (retrieval::Analyzer().only_asks(asked.text)) terms.clear();
  std::erase_if(terms, only_goes_on);
  std::set<std::string> own;
  for (const retrieval::WeighedTerm& term : terms) own.insert(term.text);
  WENQU_ASSIGN_OR_RETURN(std::vector<retrieval::WeighedTerm> taken_over, retriever.weigh(asked.context, true, cancel));
  std::erase_if(taken_over, [&](const retrieval::WeighedTerm& term) { return own.contains(term.text); });
  const size_t end_of_names = utf8_length(asked.names);
  const auto is_of_name = [&](const retrieval::WeighedTerm& term) { return term.range.begin < end_of_names; };
  double own_weight = 0, names_weight = 0, other_weight = 0;
  for (const retrieval::WeighedTerm& term : terms)
    if (!term.is_unigram) own_weight += term.weight;
  for (const retrieval::WeighedTerm& term : taken_over) (is_of_name(term) ? names_weight : other_weight) += term.weight;
  const double most = !asked.leans ? (asked.says_enough ? kContextOfAlone : kContextOfFew) : names_weight > 0 ? kContextBesideNames : asked.says_enough ? kContextOfEnough : kContextOfLittle;
  const auto share = [&](double worth, double weight) { return own_weight > 0 && weight > own_weight * worth ? own_weight * worth / weight : 1; };
  const double of_names = share(kNames, names_weight), of_others = share(most, other_weight);
  for (retrieval::WeighedTerm& term : taken_over) {
    term.weight *= is_of_name(term) ? of_names : of_others;
    terms.push_back(std::move(term));
  }
  return terms;
}

}  // namespace

Result<SentenceChoice> choose_sentences(const retrieval::Retriever& retriever, const AskedQuestion& asked_question,
                                        std::span<const Evidence* const> evidence,
                                        std::span<const Evidence* const> needed, size_t max_sentences,
                                        size_t max_documents, const CancelToken& cancel) {
  const std::string& question = asked_question.text;
  const std::string together = asked_question.together();
  WENQU_ASSIGN_OR_RETURN(const std::vector<retrieval::WeighedTerm> terms, weigh(retriever, asked_question, cancel));
  const Support support(terms);
  std::vector<retrieval::WeighedTerm> own_terms = terms;
  if (!asked_question.context.empty()) {
    WENQU_ASSIGN_OR_RETURN(own_terms, retriever.weigh(question, true, cancel));
  }
  // What holds enough of the question itself need not hold of what was before, and where it stands alone, has to.
  const Support own_support(own_terms);
  const auto supported = [&](const Support::Held& held, const Support::Held& own_held) {
    const double own = own_support.coverage(own_held);
    return asked_question.leans ? std::max(support.coverage(held), own) : own;
  };
  std::map<std::string, Asked> follow_ups;
  const bool wants_quantity = asks_for_quantity(question) || asks_for_quantity(asked_question.before);
  const double min_support = detect_language(question) == Language::chinese ? kMinSupportChinese : kMinSupport;

  SentenceChoice choice;
  std::vector<Candidate> candidates;
  Support::Held all_held(terms.size(), false), all_own_held(own_terms.size(), false);
  size_t first_rank = 0, order = 0;
  for (const Evidence* item : evidence) {
    if (cancel.cancelled()) return cancel.status();
    const retrieval::Hit& hit = item->hit;
    const std::string passage = hit.title + "\n" + hit.passage.text;
    const Support::Held passage_held = support.held_by(passage);
    const double passage_coverage = support.coverage(passage_held);

    Asked* follow_up = nullptr;
    double follow_up_coverage = 0;
    if (item->query != question && item->query != together && !item->query.empty()) {
      auto known = follow_ups.find(item->query);
      if (known == follow_ups.end()) {
        WENQU_ASSIGN_OR_RETURN(const std::vector<retrieval::WeighedTerm> asked, retriever.weigh(item->query, true, cancel));
        known = follow_ups.emplace(item->query, Asked{Support(asked)}).first;
      }
      follow_up_coverage = known->second.support.coverage(known->second.support.held_by(passage));
      if (follow_up_coverage >= kMinFollowUpSupport) follow_up = &known->second;
    }
    const double rank = kRankShare / (1.0 + (follow_up ? follow_up->next_rank++ : first_rank++));
    const bool is_needed = std::find(needed.begin(), needed.end(), item) != needed.end();
    const Support::Held own_held = asked_question.context.empty() ? passage_held : own_support.held_by(passage);
    if (supported(passage_held, own_held) < min_support && !follow_up && !is_needed) continue;
    all_held = Support::either(all_held, passage_held);
    all_own_held = Support::either(all_own_held, own_held);

    for (retrieval::CharRange range : retrieval::split_sentences(hit.passage.text)) {
      if (range.end - range.begin < kMinSentenceChars) continue;
      const size_t begin = utf8_offset(hit.passage.text, range.begin);
      const size_t length = utf8_offset(std::string_view(hit.passage.text).substr(begin), range.end - range.begin);
      const std::string sentence = hit.passage.text.substr(begin, length);
      const double quantity = wants_quantity && has_quantity(sentence) ? kQuantityBonus : 0;
      double score = support.coverage(support.held_by(sentence)) + kContextShare * passage_coverage + rank + quantity;
      if (follow_up) {
        const double other = kFollowUpShare * (follow_up->support.coverage(follow_up->support.held_by(sentence)) +
                                               kContextShare * follow_up_coverage + rank + quantity);
        score = std::max(score, other);
      }
      candidates.push_back({{item, clipped(sentence), score}, order++});
    }
  }
  choice.support = supported(all_held, all_own_held);
  if (candidates.empty() || choice.support < min_support) {
    choice.sentences.clear();
    return choice;
  }
  std::sort(candidates.begin(), candidates.end(), [](const Candidate& a, const Candidate& b) {
    return a.sentence.score != b.sentence.score ? a.sentence.score > b.sentence.score : a.order < b.order;
  });

  std::map<size_t, const Candidate*> all;
  for (const Candidate& candidate : candidates) all.emplace(candidate.order, &candidate);
  std::vector<const Candidate*> chosen;
  std::map<std::string, size_t> per_document;
  std::set<std::string> texts;
  const double floor = candidates.front().sentence.score * kMinShareOfBest;
  const auto take = [&](const Candidate& candidate, double least) {
    const std::string& document = candidate.sentence.evidence->hit.passage.document_id;
    if (chosen.size() >= max_sentences || candidate.sentence.score < least) return;
    const auto known = per_document.find(document);
    if (known == per_document.end() ? per_document.size() >= max_documents
                                    : known->second >= kMaxSentencesPerDocument)
      return;
    if (!texts.insert(candidate.sentence.text).second) return;
    ++per_document[document];
    chosen.push_back(&candidate);
  };
  for (const Evidence* item : needed) {
    size_t taken = 0;
    for (const Candidate& candidate : candidates)
      if (candidate.sentence.evidence == item && taken < kMaxSentencesPerDocument) {
        take(candidate, 0);
        ++taken;
      }
  }
  for (const Candidate& candidate : candidates) take(candidate, floor);
  choice.sentences = put_in_order(chosen, all);
  return choice;
}

}  // namespace wenqu::assistant
