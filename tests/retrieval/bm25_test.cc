#include "retrieval/index/length_code.h"
#include "retrieval/query/question_terms.h"
#include "retrieval/rank/bm25.h"

#include <cmath>
#include <map>
#include <random>
#include <set>

#include "index_fixture.h"

namespace wenqu::retrieval {
namespace {

TEST(Bm25, RareTermsWeighMore) {
  EXPECT_GT(inverse_document_frequency(100, 1), inverse_document_frequency(100, 2));
  EXPECT_GT(inverse_document_frequency(100, 100), 0);
  EXPECT_GT(inverse_document_frequency(100, 0), inverse_document_frequency(100, 1));
  EXPECT_GT(inverse_document_frequency(3, 5), 0);  // deleted passages still counted
}

TEST(Bm25, LengthsKeepTheirFirstFourBits) {
  for (uint32_t length = 0; length < 16; ++length) EXPECT_EQ(decode_length(encode_length(length)), length);
  double last = -1;
  for (uint32_t length = 0; length < 5000; ++length) {
    const double kept = decode_length(encode_length(length));
    EXPECT_LE(kept, length);
    EXPECT_GE(kept, length * 8.0 / 9);
    EXPECT_GE(kept, last);
    last = kept;
  }
  EXPECT_GT(decode_length(encode_length(UINT32_MAX)), 3.5e9);
}

// The formula of bm25.h, a passage at a time, over texts that are one passage each.
class Oracle {
 public:
  explicit Oracle(const std::vector<Document>& documents) : count_(documents.size()) {
    for (const Document& document : documents) {
      Fields fields;
      for (const Term& term : analyzer_.analyze(document.text)) ++fields[body_field(term.kind)][term.text];
      for (const Term& term : analyzer_.analyze_title(document.title))
        for (const TermField field : fields_of(term.kind)) ++fields[field][term.text];
      documents_[document.id] = fields;
    }
  }

  std::map<std::string, double> scores(const std::string& question) const {
    std::set<std::pair<Term::Kind, std::string>> terms;
    for (const QuestionTerm& term : search_terms(analyzer_.analyze_question(question)))
      terms.emplace(term.term.kind, term.term.text);
    std::map<std::string, double> scores;
    for (const auto& [kind, text] : terms)
      for (const TermField field : fields_of(kind))
        for (const auto& [id, fields] : documents_)
          if (const double score = score_of(field, text, fields); score > 0) scores[id] += score;
    return scores;
  }

 private:
  using Fields = std::map<TermField, std::map<std::string, int>>;

  static double length(const Fields& fields, TermField field) {
    const auto found = fields.find(field);
    double sum = 0;
    if (found != fields.end())
      for (const auto& [text, times] : found->second) sum += times;
    if (sum == 0) return 0;
    const double step = std::max(1.0, std::exp2(std::floor(std::log2(sum)) - 3));
    return std::floor(sum / step) * step;
  }

  double score_of(TermField field, const std::string& text, const Fields& fields) const {
    const auto found = fields.find(field);
    if (found == fields.end() || !found->second.contains(text)) return 0;
    double holders = 0, total = 0, with_field = 0;
    for (const auto& [id, other] : documents_) {
      const auto in_other = other.find(field);
      holders += in_other != other.end() && in_other->second.contains(text);
      total += length(other, field);
      with_field += length(other, field) > 0;
    }
    const auto [weight, k1, b, power] = bm25_parameters(RankingParameters(), field);
    const double n = static_cast<double>(count_);
    const double idf = std::log(1 + (n - holders + 0.5) / (holders + 0.5));
    const double tf = found->second.at(text);
    return weight * std::pow(idf, power) * tf * (k1 + 1) / (tf + k1 * (1 - b + b * length(fields, field) / (total / with_field)));
  }

  Analyzer analyzer_{};
  size_t count_;
  std::map<std::string, Fields> documents_;
};

class RankingTest : public IndexTest, public testing::WithParamInterface<unsigned> {};

TEST_P(RankingTest, ScoresAreThoseOfTheFormula) {
  std::mt19937 random(GetParam());
  const std::vector<std::string> words = {"heron", "river", "bridge", "灯笼", "渡口", "boats", "石桥", "早上", "teahouse", "灯会", "雨伞"};
  const auto phrase = [&](size_t most) {
    std::string text;
    for (size_t i = random() % most + 1; i > 0; --i) text += words[std::min(random(), random()) % words.size()] + " ";
    return text;
  };
  std::vector<Document> documents;
  IndexOptions options;
  options.ranking.document = 0;
  options.ranking.signals = {};
  auto index = open(Index::Mode::write, options);
  for (int i = 0; i < 60; ++i) {
    documents.push_back(make_document("d" + std::to_string(i), phrase(40), random() % 3 ? phrase(3) : ""));
    EXPECT_OK(index->add(documents.back()));
    if (random() % 10 == 0) EXPECT_OK(index->commit());
  }
  EXPECT_OK(index->commit());
  ASSERT_EQ(index->stats().passages, documents.size());
  const Oracle oracle(documents);
  for (int i = 0; i < 20; ++i) {
    const std::string question = phrase(6);
    const auto expected = oracle.scores(question);
    const SearchResponse response = find(*index, question, 1000);
    ASSERT_EQ(response.hits.size(), expected.size()) << question;
    EXPECT_EQ(response.total, expected.size());
    double last = INFINITY;
    for (const Hit& hit : response.hits) {
      ASSERT_TRUE(expected.contains(hit.passage.document_id));
      EXPECT_NEAR(hit.score, expected.at(hit.passage.document_id), 1e-4 * hit.score);
      EXPECT_LE(hit.score, last);
      last = hit.score;
    }
    // Fewer hits wanted are the first of many.
    const auto all = ids(response);
    for (size_t top : {1, 3, 10}) {
      const auto first = ids(find(*index, question, top));
      EXPECT_EQ(first, std::vector<std::string>(all.begin(), all.begin() + static_cast<ptrdiff_t>(std::min(top, all.size()))));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, RankingTest, testing::Values(11u, 12u, 13u, 14u));

}  // namespace
}  // namespace wenqu::retrieval
