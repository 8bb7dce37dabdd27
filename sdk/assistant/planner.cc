#include "sdk/assistant/planner.h"

#include <algorithm>
#include <map>
#include <set>
#include <unordered_map>
#include <unordered_set>

#include "base/utf8.h"
#include "retrieval/analysis/analyzer.h"
#include "retrieval/documents/passages.h"
#include "sdk/assistant/names.h"

namespace wenqu::assistant {
namespace {

using retrieval::CharRange;
using retrieval::Term;
using retrieval::WeighedTerm;

constexpr size_t kSources = 3;          // documents followed up at once
constexpr size_t kLeadsPerQuery = 3;
constexpr double kFarSentence = 0.15;   // worth of a lead far from the question's words
constexpr size_t kLongestRun = 3;       // pairs: names of up to four characters
constexpr double kNameBonus = 3;

// A character that no name begins or ends with.
bool binds(char32_t c) { return std::u32string_view(U"是的了在").find(c) != std::u32string_view::npos; }

std::string substring(std::u32string_view text, CharRange range) {
  return utf32_to_utf8(text.substr(range.begin, range.end - range.begin));
}

// The question's own words that `held` lacks, as they stand in the question. A pair of characters that begins or ends within another
// word is no piece of these ("计者", where 设计 is held), but their seam.
std::vector<std::string> open_words(const std::string& question, const std::vector<WeighedTerm>& terms,
                                    const Support::Held& held) {
  const std::u32string characters = utf8_to_utf32(question);
  const auto is_open = [&](size_t i) { return !held[i] && !terms[i].is_unigram && terms[i].passages > 0; };
  std::vector<bool> within_word(characters.size() + 1, false);   // of those that are not open
  for (size_t i = 0; i < terms.size(); ++i)
    if (terms[i].is_dictionary_word && !is_open(i))
      for (uint32_t place = terms[i].range.begin + 1; place < terms[i].range.end; ++place) within_word[place] = true;
  std::vector<CharRange> ranges;
  for (size_t i = 0; i < terms.size(); ++i)
    if (is_open(i) && (terms[i].is_dictionary_word || !(within_word[terms[i].range.begin] || within_word[terms[i].range.end])))
      ranges.push_back(terms[i].range);
  std::sort(ranges.begin(), ranges.end(), [](CharRange a, CharRange b) { return a.begin < b.begin; });
  std::vector<CharRange> merged;
  for (CharRange range : ranges) {
    if (!merged.empty() && range.begin < merged.back().end)
      merged.back().end = std::max(merged.back().end, range.end);
    else
      merged.push_back(range);
  }
  std::vector<std::string> words;
  for (CharRange range : merged) words.push_back(substring(characters, range));
  return words;
}

}  // namespace

Result<std::vector<Lead>> find_leads(const retrieval::Retriever& retriever, const std::string& text, const Support& support,
                                     const std::unordered_set<std::string>& asked_terms, const CancelToken& cancel) {
  WENQU_ASSIGN_OR_RETURN(const std::vector<WeighedTerm> weighed, retriever.weigh(weighable(text), false, cancel));
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

  // Candidates: each word, and runs of up to three overlapping pairs, since a name is longer than a pair.
  // A run whose pairs are equally rare holds together; one that joins a common pair to a rare one is a
  // seam between words.
  std::vector<Term> terms;
  std::vector<bool> within_word(characters.size() + 1, false);   // of the dictionary: no name begins or ends there
  for (Term& term : retrieval::Analyzer().analyze(text)) {
    if (term.kind == Term::Kind::bigram || term.kind == Term::Kind::word) terms.push_back(std::move(term));
    else if (term.kind == Term::Kind::dictionary_word)
      for (uint32_t place = term.range.begin + 1; place < term.range.end; ++place) within_word[place] = true;
  }
  const auto known = [&](const Term& term) -> const WeighedTerm* {
    const auto found = by_text.find(term.text);
    return found == by_text.end() || found->second->passages < 2 || asked_terms.contains(term.text) ? nullptr : found->second;
  };
  std::map<std::string, Lead> best;
  for (size_t i = 0; i < terms.size(); ++i) {
    CharRange range = terms[i].range;
    uint64_t rarest = UINT64_MAX, commonest = 0;
    double weights = 0;
    for (size_t k = i; k < terms.size() && k < i + kLongestRun; ++k) {
      const WeighedTerm* term = known(terms[k]);
      if (!term) break;
      if (k > i && (terms[k].kind != Term::Kind::bigram || terms[k - 1].kind != Term::Kind::bigram ||
                    terms[k].range.begin != terms[k - 1].range.begin + 1))
        break;
      range.end = terms[k].range.end;
      rarest = std::min(rarest, term->passages);
      commonest = std::max(commonest, term->passages);
      weights += term->weight;
      if (commonest > rarest * 2) break;
      if (within_word[range.begin] || within_word[range.end] || binds(characters[range.begin]) || binds(characters[range.end - 1])) continue;
      double closeness = kFarSentence;
      bool starts_sentence = false;
      for (size_t s = 0; s < sentences.size(); ++s)
        if (range.begin >= sentences[s].begin && range.begin < sentences[s].end) {
          closeness = std::max(closeness, near[s]);
          starts_sentence = range.begin == sentences[s].begin;
        }
      const std::u32string_view words = std::u32string_view(characters).substr(range.begin, range.end - range.begin);
      // A whole name before its first two characters, which are as rare.
      const bool is_name = looks_like_name(words, starts_sentence);
      const double name = is_name ? kNameBonus + 0.1 * static_cast<double>(k - i) : 1;
      Lead& lead = best[utf32_to_utf8(words)];
      lead.score = std::max(lead.score, weights / static_cast<double>(k - i + 1) * closeness * name);
      lead.is_name |= is_name;
    }
  }
  std::vector<Lead> leads;
  for (auto& [words, lead] : best) leads.push_back({words, lead.score, lead.is_name});
  std::stable_sort(leads.begin(), leads.end(), [](const Lead& a, const Lead& b) { return a.score > b.score; });
  return leads;
}

Result<std::vector<FollowUp>> plan_follow_ups(const retrieval::Retriever& retriever, const std::string& question,
                                              const std::vector<const Evidence*>& found,
                                              const std::vector<std::string>& asked, size_t max_queries,
                                              const CancelToken& cancel) {
  WENQU_ASSIGN_OR_RETURN(const std::vector<WeighedTerm> terms, retriever.weigh(question, true, cancel));
  const Support support(terms);
  std::unordered_set<std::string> asked_terms;
  for (const std::string& query : asked) {
    WENQU_ASSIGN_OR_RETURN(const std::vector<WeighedTerm> of_query, retriever.weigh(query, false, cancel));
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
    WENQU_ASSIGN_OR_RETURN(const std::vector<Lead> leads, find_leads(retriever, hit.passage.text, support, asked_terms, cancel));

    FollowUp next;
    next.from = evidence;
    for (const Lead& lead : leads) {
      if (next.leads.size() == kLeadsPerQuery) break;
      const bool part = std::any_of(next.leads.begin(), next.leads.end(), [&](const std::string& other) {
        return other.find(lead.text) != other.npos || lead.text.find(other) != lead.text.npos;
      });
      if (!part) next.leads.push_back(lead.text);
    }
    if (next.leads.empty() && open.empty()) continue;
    for (const std::string& lead : next.leads) next.query += (next.query.empty() ? "" : " ") + lead;
    for (const std::string& word : open) next.query += (next.query.empty() ? "" : " ") + word;
    if (queries.insert(next.query).second) plan.push_back(std::move(next));
  }
  return plan;
}

}  // namespace wenqu::assistant
