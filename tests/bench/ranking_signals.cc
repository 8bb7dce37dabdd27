// What scripts/learn-signals learns from: of each question's best passages, which answer it and what a closer look finds.
//
//   wenqu_ranking_signals INDEX QUERIES.tsv QRELS [--passages] [RANKING.json] > signals.tsv
//
// Prints for each of the best `rescored` passages before the closer look: the question, how many passages answer it, whether
// this one does (its document counts; with --passages the qrels name passages, "document.number"), the logarithm of its score,
// and its signals.
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
  const bool by_passage = argc > 4 && std::string_view(argv[4]) == "--passages";
  if (argc > 4 + by_passage) {
    std::ifstream file(argv[4 + by_passage]);
    WENQU_ASSIGN_OR_RETURN(request.parameters, RankingParameters::parse(std::string(std::istreambuf_iterator<char>(file), {})));
  }
  request.top = std::max<size_t>(request.parameters.rescored, 1);
  WENQU_ASSIGN_OR_RETURN(const auto snapshot, open_newest_commit(IndexPaths(argv[1]), nullptr));
  WENQU_ASSIGN_OR_RETURN(const auto questions, read_questions(argv[2]));
  WENQU_ASSIGN_OR_RETURN(const Judgements judgements, read_judgements(argv[3]));
  RankingParameters without_look = request.parameters;
  without_look.signals = {};
  for (const Question& question : questions) {
    const auto judged = judgements.find(question.id);
    if (judged == judgements.end()) continue;
    const std::vector<QuestionTerm> terms = search_terms(Analyzer().analyze_question(question.text));
    PassageReader reader(*snapshot);
    WENQU_ASSIGN_OR_RETURN(Ranking ranking, rank_passages(*snapshot, terms, request, CancelToken()));
    WENQU_RETURN_IF_ERROR(rescore(reader, question.text, terms, without_look, CancelToken(), ranking.best));
    WENQU_ASSIGN_OR_RETURN(const auto signals, find_signals(reader, question.text, terms, ranking.best, CancelToken()));
    for (size_t i = 0; i < signals.size(); ++i) {
      WENQU_ASSIGN_OR_RETURN(const Document* document, reader.document(ranking.best[i].doc));
      WENQU_ASSIGN_OR_RETURN(const Passage* passage, reader.passage(ranking.best[i].doc));
      const std::string id = by_passage ? document->id + "." + std::to_string(passage->ordinal) : document->id;
      const auto grade = judged->second.find(id);
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
    std::fprintf(stderr, "usage: %s INDEX QUERIES.tsv QRELS [--passages] [RANKING.json]\n", argv[0]);
    return 2;
  }
  const Status status = print(argc, argv);
  if (!status) std::fprintf(stderr, "%s\n", status.to_string().c_str());
  return status ? 0 : 1;
}
