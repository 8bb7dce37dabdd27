#include "sdk/assistant/planner.h"

#include <algorithm>
#include <map>
#include <set>
#include <unordered_map>
#include <unordered_set>

#include "base/utf8.h"
#include "retrieval/analysis/analyzer.h"
#include "retrieval/documents/passages.h"
#include "sdk/assistant/support.h"

namespace wenqu::assistant {
namespace {

using retrieval::CharRange;
using retrieval::Term;
using retrieval::WeighedTerm;

constexpr size_t kSources = 3;          // documents followed up at once
constexpr size_t kLeadsPerQuery = 3;
constexpr uint32_t kMaxLeadChars = 24;
constexpr double kFarSentence = 0.15;   // worth of a lead far from the question's words

std::string substring(std::u32string_view text, CharRange range) {
  return utf32_to_utf8(text.substr(range.begin, range.end - range.begin));
}

// The question's own words that `held` lacks, as they stand in the question.
std::vector<std::string> open_words(const std::string& question, const std::vector<WeighedTerm>& terms,
                                    const Support::Held& held) {
  std::vector<CharRange> ranges;
  for (size_t i = 0; i < terms.size(); ++i)
    if (!held[i] && !terms[i].is_unigram) ranges.push_back(terms[i].range);
  std::sort(ranges.begin(), ranges.end(), [](CharRange a, CharRange b) { return a.begin < b.begin; });
  std::vector<CharRange> merged;
  for (CharRange range : ranges) {
    if (!merged.empty() && range.begin < merged.back().end)
      merged.back().end = std::max(merged.back().end, range.end);
    else
      merged.push_back(range);
  }
  const std::u32string characters = utf8_to_utf32(question);
  std::vector<std::string> words;
  for (CharRange range : merged) words.push_back(substring(characters, range));
  return words;
}

struct Lead {
  std::string text;
  double score = 0;
};

// Words of the passage that the question lacks, that other passages have too, and that stand near
// the question's words; best first.
Result<std::vector<Lead>> find_leads(const retrieval::Retriever& retriever, const retrieval::Hit& hit,
                                     const Support& support, const std::unordered_set<std::string>& asked_terms) {
  const std::string& text = hit.passage.text;
  WENQU_ASSIGN_OR_RETURN(const std::vector<WeighedTerm> weighed, retriever.weigh(text, false));
  std::unordered_map<std::string, const WeighedTerm*> by_text;
  for (const WeighedTerm& term : weighed) by_text.emplace(term.text, &term);

  const std::u32string characters = utf8_to_utf32(text);
  const std::vector<CharRange> sentences = retrieval::split_sentences(text);
  std::vector<double> relevance;
  for (CharRange sentence : sentences)
    relevance.push_back(support.coverage(support.held_by(substring(characters, sentence))));
  // A fact often continues the sentence before it.
  std::vector<double> near = relevance;
  for (size_t i = 1; i < near.size(); ++i) near[i] = std::max(near[i], relevance[i - 1] * 0.5);

  // Chains of overlapping rare pairs are one name; other words stand for themselves.
  struct Chain {
    CharRange range;
    double weight_sum;
    size_t terms;
  };
  std::vector<Chain> chains;
  const retrieval::Analyzer analyzer;
  for (const Term& term : analyzer.analyze(text)) {
    if (term.kind == Term::Kind::unigram || asked_terms.contains(term.text)) continue;
    const auto found = by_text.find(term.text);
    if (found == by_text.end() || found->second->passages < 2) continue;
    const bool continues = !chains.empty() && term.kind == Term::Kind::bigram &&
                           term.range.begin < chains.back().range.end && term.range.begin > chains.back().range.begin;
    if (continues) {
      chains.back().range.end = term.range.end;
      chains.back().weight_sum += found->second->weight;
      ++chains.back().terms;
    } else {
      chains.push_back({term.range, found->second->weight, 1});
    }
  }
  std::map<std::string, double> best;
  for (const Chain& chain : chains) {
    if (chain.range.end - chain.range.begin > kMaxLeadChars) continue;
    double closeness = kFarSentence;
    for (size_t i = 0; i < sentences.size(); ++i)
      if (chain.range.begin >= sentences[i].begin && chain.range.begin < sentences[i].end)
        closeness = std::max(closeness, near[i]);
    const double score = chain.weight_sum / static_cast<double>(chain.terms) * closeness;
    double& known = best[substring(characters, chain.range)];
    known = std::max(known, score);
  }
  std::vector<Lead> leads;
  for (const auto& [lead, score] : best) leads.push_back({lead, score});
  std::stable_sort(leads.begin(), leads.end(), [](const Lead& a, const Lead& b) { return a.score > b.score; });
  return leads;
}

}  // namespace

Result<std::vector<FollowUp>> plan_follow_ups(const retrieval::Retriever& retriever, const std::string& question,
                                              const std::vector<const Evidence*>& found,
                                              const std::vector<std::string>& asked, size_t max_queries) {
  WENQU_ASSIGN_OR_RETURN(const std::vector<WeighedTerm> terms, retriever.weigh(question, true));
  const Support support(terms);
  std::unordered_set<std::string> asked_terms;
  for (const std::string& query : asked) {
    WENQU_ASSIGN_OR_RETURN(const std::vector<WeighedTerm> of_query, retriever.weigh(query, false));
    for (const WeighedTerm& term : of_query) asked_terms.insert(term.text);
  }

  std::vector<FollowUp> plan;
  std::set<std::string> documents, queries(asked.begin(), asked.end());
  for (const Evidence* evidence : found) {
    if (documents.size() == kSources || plan.size() >= max_queries) break;
    const retrieval::Hit& hit = evidence->hit;
    if (!documents.insert(hit.passage.document_id).second) continue;
    const Support::Held held = support.held_by(hit.title + "\n" + hit.passage.text);
    const std::vector<std::string> open = open_words(question, terms, held);
    WENQU_ASSIGN_OR_RETURN(const std::vector<Lead> leads, find_leads(retriever, hit, support, asked_terms));

    FollowUp next;
    next.from = evidence;
    for (size_t i = 0; i < leads.size() && i < kLeadsPerQuery; ++i) next.leads.push_back(leads[i].text);
    if (next.leads.empty() && open.empty()) continue;
    for (const std::string& lead : next.leads) next.query += (next.query.empty() ? "" : " ") + lead;
    for (const std::string& word : open) next.query += (next.query.empty() ? "" : " ") + word;
    if (queries.insert(next.query).second) plan.push_back(std::move(next));
  }
  return plan;
}

}  // namespace wenqu::assistant
