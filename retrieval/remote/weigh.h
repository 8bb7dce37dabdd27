// Makes the cluster's scores those of our ranking (rank/bm25.h, rank/rescore.h): what each term's own score is multiplied
// by, and the second look at the best passages, for which their documents' passages are fetched.
//
// Thread safety: pure.
#pragma once

#include <vector>

#include "base/status.h"
#include "retrieval/query/question_terms.h"
#include "retrieval/ranking_parameters.h"
#include "retrieval/remote/statistics.h"

namespace wenqu::retrieval {

// What the statistics have to tell of a question.
void add_remote_terms(const std::vector<QuestionTerm>& terms, std::vector<RemoteTerm>& wanted);

// Those that any passage holds; of very many only the weightiest, as clusters limit the clauses of a query.
// `scores_with_k1`: the cluster's own score has the factor k1 + 1.
std::vector<RemoteClause> weigh_clauses(const std::vector<QuestionTerm>& terms, const TermStatistics& statistics,
                                        const RankingParameters& ranking, bool scores_with_k1);

// How many passages hold a term of the clauses, were these spread independently.
uint64_t estimate_matches(const std::vector<RemoteClause>& clauses, const TermStatistics& statistics);

// The runs of passages that count as the documents of these hits, without those that the hits are themselves.
std::vector<RemoteRun> chapters_of(const std::vector<RemoteHit>& hits);

// Gives the hits, of which `texts` holds the chapters, their final scores and order, as rescore() does (rank/rescore.h).
void rescore_remote(std::string_view question, const std::vector<QuestionTerm>& terms, const TermStatistics& statistics,
                    const RankingParameters& ranking, const std::vector<RemoteText>& texts, const Analyzer& analyzer,
                    std::vector<RemoteHit>& hits);

}  // namespace wenqu::retrieval
