#include "retrieval/eval/measures.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <set>

namespace wenqu::retrieval {
namespace {

constexpr int kResamples = 2000;
constexpr int kMaxGrade = 30;  // 2^grade stays a number

double gain(int grade) { return grade <= 0 ? 0 : std::exp2(std::min(grade, kMaxGrade)) - 1; }
double discounted(double gain, size_t rank) { return gain / std::log2(static_cast<double>(rank) + 1); }

double mean_of(std::span<const double> values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return values.empty() ? 0 : sum / static_cast<double>(values.size());
}

}  // namespace

std::string_view measure_name(Measure measure) {
  switch (measure) {
    case Measure::mrr_10: return "MRR@10";
    case Measure::ndcg_10: return "nDCG@10";
    case Measure::recall_1: return "recall@1";
    case Measure::recall_5: return "recall@5";
    case Measure::recall_10: return "recall@10";
    case Measure::recall_20: break;
  }
  return "recall@20";
}

Measured measure(const std::vector<std::string>& ranked, const Grades& grades) {
  std::vector<double> ideal;
  for (const auto& [id, grade] : grades)
    if (grade > 0) ideal.push_back(gain(grade));
  std::sort(ideal.rbegin(), ideal.rend());
  double best_gain = 0;
  for (size_t rank = 1; rank <= std::min<size_t>(10, ideal.size()); ++rank) best_gain += discounted(ideal[rank - 1], rank);

  Measured out;
  double sum = 0;
  size_t found[4] = {};
  constexpr size_t kDepths[4] = {1, 5, 10, 20};
  std::set<std::string_view> seen;
  for (const std::string& id : ranked) {
    if (!seen.insert(id).second) continue;
    const size_t rank = seen.size();
    if (rank > kDepths[3]) break;
    const auto judged = grades.find(id);
    if (judged == grades.end() || judged->second <= 0) continue;
    for (size_t i = 0; i < 4; ++i) found[i] += rank <= kDepths[i];
    if (rank > 10) continue;
    sum += discounted(gain(judged->second), rank);
    double& reciprocal = out.of[static_cast<size_t>(Measure::mrr_10)];
    if (reciprocal == 0) reciprocal = 1 / static_cast<double>(rank);
  }
  out.of[static_cast<size_t>(Measure::ndcg_10)] = sum / best_gain;
  for (size_t i = 0; i < 4; ++i)
    out.of[static_cast<size_t>(Measure::recall_1) + i] = static_cast<double>(found[i]) / static_cast<double>(ideal.size());
  return out;
}

std::map<std::string, Measured> measure_run(const Run& run, const Judgements& judgements) {
  std::map<std::string, Measured> measured;
  for (const auto& [query, grades] : judgements) {
    if (std::none_of(grades.begin(), grades.end(), [](const auto& entry) { return entry.second > 0; })) continue;
    const auto ranked = run.find(query);
    measured.emplace(query, measure(ranked == run.end() ? std::vector<std::string>() : ranked->second, grades));
  }
  return measured;
}

Interval confidence(std::span<const double> values) {
  Interval interval;
  if (values.empty()) return interval;
  interval.mean = mean_of(values);
  std::mt19937_64 random(1);
  std::vector<double> means(kResamples);
  for (double& mean : means) {
    double sum = 0;
    for (size_t i = 0; i < values.size(); ++i) sum += values[random() % values.size()];
    mean = sum / static_cast<double>(values.size());
  }
  std::sort(means.begin(), means.end());
  interval.low = means[kResamples / 40];
  interval.high = means[kResamples - 1 - kResamples / 40];
  return interval;
}

double chance(std::span<const double> differences) {
  if (differences.empty()) return 1;
  double total = 0;
  for (const double difference : differences) total += difference;
  std::mt19937_64 random(1);
  int as_large = 1;  // the one that was seen
  for (int i = 0; i < kResamples; ++i) {
    double sum = 0;
    uint64_t bits = 0;
    for (size_t k = 0; k < differences.size(); ++k, bits >>= 1) {
      if (k % 64 == 0) bits = random();
      sum += bits & 1 ? differences[k] : -differences[k];
    }
    as_large += std::fabs(sum) >= std::fabs(total) - 1e-12;
  }
  return static_cast<double>(as_large) / (kResamples + 1);
}

}  // namespace wenqu::retrieval
