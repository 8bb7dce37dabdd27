// How good a ranking is, against judgements of what is relevant, and whether two rankings differ.
//
// Sources: Voorhees, The TREC-8 Question Answering Track Report (1999), for the reciprocal rank; Järvelin and Kekäläinen,
// Cumulated gain-based evaluation of IR techniques (2002), for nDCG, with the gain 2^grade - 1 of Burges et al. (2005);
// Efron, Bootstrap methods (1979); Smucker, Allan, Carterette, A comparison of statistical significance
// tests for information retrieval evaluation (2007), for the randomization test.
// Thread safety: pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace wenqu::retrieval {

using Grades = std::map<std::string, int>;           // document id -> grade; above 0: relevant
using Judgements = std::map<std::string, Grades>;    // query id -> its judged documents
using Run = std::map<std::string, std::vector<std::string>>;  // query id -> document ids, best first

// Of one question; all between 0 and 1.
enum class Measure : uint8_t { mrr_10, ndcg_10, recall_1, recall_5, recall_10, recall_20 };
inline constexpr size_t kMeasures = 6;
std::string_view measure_name(Measure measure);

struct Measured {
  double of[kMeasures] = {};
  double operator[](Measure measure) const { return of[static_cast<size_t>(measure)]; }
};
// A document that the list repeats counts once. REQUIRES: a document of `grades` is relevant
Measured measure(const std::vector<std::string>& ranked, const Grades& grades);

// Every question that has a relevant document; one that `run` lacks found nothing.
std::map<std::string, Measured> measure_run(const Run& run, const Judgements& judgements);

struct Interval {
  double mean = 0;
  double low = 0, high = 0;   // 95 % of the means of resampled questions lie between
};
// Bootstrap with a fixed seed: the same values give the same interval. All 0 without values.
Interval confidence(std::span<const double> values);

// How likely a mean difference as large as that of `differences` is when the two rankings are equally
// good, by flipping signs at random (fixed seed). 1 without values.
double chance(std::span<const double> differences);

}  // namespace wenqu::retrieval
