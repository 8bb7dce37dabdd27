// What scripts/learn-signals learns from: of each question's best passages, which answer it and what a closer look finds.
//
//   wenqu_ranking_signals INDEX QUERIES.tsv QRELS [RANKING.json] > signals.tsv
//
// Prints for each of the best `rescored` passages by the first stage: the question, how many passages answer it, whether
// this one does (its document counts), the logarithm of its score, and its signals.
#include <cmath>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>

#include "base/status.h"
#include "retrieval/eval/trec_files.h"
#include "retrieval/index/open_commit.h"
#include "retrieval/rank/rescore.h"

using namespace wenqu;
using namespace wenqu::retrieval;

namespace {

Status print(int argc, char** argv) {
  RankRequest request;
  if (argc > 4) {
    std::ifstream file(argv[4]);
    WENQU_ASSIGN_OR_RETURN(request.parameters, RankingParameters::parse(std::string(std::istreambuf_iterator<char>(file), {})));
  }
  request.top = std::max<size_t>(request.parameters.rescored, 1);
  WENQU_ASSIGN_OR_RETURN(const auto snapshot, open_newest_commit(IndexPaths(argv[1]), nullptr));
  WENQU_ASSIGN_OR_RETURN(const auto questions, read_questions(argv[2]));
  WENQU_ASSIGN_OR_RETURN(const Judgements judgements, read_judgements(argv[3]));
  for (const Question& question : questions) {
    const auto judged = judgements.find(question.id);
    if (judged == judgements.end()) continue;
    const std::vector<QuestionTerm> terms = search_terms(Analyzer().analyze_question(question.text));
    WENQU_ASSIGN_OR_RETURN(const Ranking ranking, rank_passages(*snapshot, terms, request, CancelToken()));
    PassageReader reader(*snapshot);
    WENQU_ASSIGN_OR_RETURN(const auto signals, find_signals(reader, question.text, terms, ranking.best, CancelToken()));
    for (size_t i = 0; i < signals.size(); ++i) {
      WENQU_ASSIGN_OR_RETURN(const Document* document, reader.document(ranking.best[i].doc));
      const auto grade = judged->second.find(document->id);
      std::printf("%s\t%zu\t%d\t%.6g", question.id.c_str(), judged->second.size(), grade != judged->second.end() && grade->second > 0,
                  std::log(static_cast<double>(ranking.best[i].score) + 1e-6));
      for (const double signal : signals[i]) std::printf("\t%.6g", signal);
      std::printf("\n");
    }
  }
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) {
    std::fprintf(stderr, "usage: %s INDEX QUERIES.tsv QRELS [RANKING.json]\n", argv[0]);
    return 2;
  }
  const Status status = print(argc, argv);
  if (!status) std::fprintf(stderr, "%s\n", status.to_string().c_str());
  return status ? 0 : 1;
}
