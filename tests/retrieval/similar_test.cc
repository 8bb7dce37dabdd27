#include "retrieval/similar/near_duplicates.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "retrieval/similar/collapse.h"
#include "retrieval/similar/shingles.h"

namespace wenqu::retrieval {
namespace {

// A text of random words, `words` of them.
std::string random_text(std::mt19937& random, size_t words) {
  std::string text;
  for (size_t i = 0; i < words; ++i) {
    for (size_t letters = 4 + random() % 6; letters > 0; --letters) text += static_cast<char>('a' + random() % 26);
    text += ' ';
  }
  return text;
}

double jaccard(const std::string& a, const std::string& b) {
  const auto x = shingles_of(a), y = shingles_of(b);
  const double shared = containment(x, y) * static_cast<double>(std::min(x.size(), y.size()));
  return shared / (static_cast<double>(x.size() + y.size()) - shared);
}

// A text of which about the share J of all shingles is in `text` too.
std::string similar_text(std::mt19937& random, const std::string& text, double share) {
  // Both have n shingles of which s are shared: J = s / (2n - s).
  const double shared = 2 * share / (1 + share);
  const size_t kept = static_cast<size_t>(shared * static_cast<double>(text.size()));
  return text.substr(0, kept) + " " + random_text(random, (text.size() - kept) / 7);
}

TEST(Shingles, DoNotCountCaseSpacesAndPunctuation) {
  EXPECT_EQ(shingles_of("The heron, waiting."), shingles_of("the HERON waiting"));
  EXPECT_EQ(shingles_of("苍鹭，在水中等待。"), shingles_of("苍鹭 在水中等待"));
  EXPECT_TRUE(shingles_of("。 !?").empty());
  EXPECT_EQ(shingles_of("abc").size(), 1u);
}

TEST(Signatures, EstimateTheShareOfCommonShingles) {
  std::mt19937 random(7);
  double error = 0;
  constexpr int kTexts = 200;
  for (int i = 0; i < kTexts; ++i) {
    const std::string text = random_text(random, 300), other = similar_text(random, text, 0.1 + 0.8 * i / kTexts);
    const double estimate = similarity(*signature_of(text), *signature_of(other));
    error += std::abs(estimate - jaccard(text, other));
  }
  EXPECT_LT(error / kTexts, 0.07);
}

TEST(NearDuplicateSearch, FindsNearlyAllCopiesAndHardlyAnythingElse) {
  std::mt19937 random(11);
  NearDuplicates index;
  std::vector<std::string> texts;
  for (int i = 0; i < 400; ++i) {
    texts.push_back(random_text(random, 300));
    index.add("d" + std::to_string(i), *signature_of(texts.back()));
  }
  int found_close = 0, found_far = 0, wrong = 0;
  for (size_t i = 0; i < texts.size(); ++i) {
    const auto close = index.find(*signature_of(similar_text(random, texts[i], 0.92)));
    found_close += close.has_value();
    wrong += close && *close != "d" + std::to_string(i);
    found_far += index.find(*signature_of(similar_text(random, texts[i], 0.6))).has_value();
    wrong += index.find(*signature_of(random_text(random, 300))).has_value();
  }
  EXPECT_EQ(wrong, 0);
  EXPECT_GE(found_close, 390);
  EXPECT_LE(found_far, 20);
}

TEST(NearDuplicateSearch, RemovedAndReplacedDocumentsAreNotFound) {
  NearDuplicates index;
  const Signature heron = *signature_of("苍鹭是一种大型涉禽，栖息于湖泊和河流的浅水处"), otter = *signature_of("The otter swims in the river all day");
  index.add("a", heron);
  index.add("a", otter);
  EXPECT_FALSE(index.find(heron));
  EXPECT_EQ(index.find(otter), "a");
  index.remove("a");
  index.remove("a");
  EXPECT_FALSE(index.find(otter));
  index.add("b", heron);
  NearDuplicates copy;
  ASSERT_TRUE(copy.decode(index.encode()));
  EXPECT_EQ(copy.find(heron), "b");
  EXPECT_FALSE(copy.decode(index.encode() + "x"));
  EXPECT_FALSE(copy.decode(std::string(5, '\xFF')));
  EXPECT_EQ(copy.size(), 1u);
}

TEST(Collapsing, KeepsTheBestOfPassagesThatSayTheSame) {
  const std::string text = "苍鹭是一种大型涉禽，栖息于湖泊和河流的浅水处。它们以鱼类为食，站在水中等待，动作很慢。";
  std::vector<Hit> hits;
  const auto add = [&](const char* id, const std::string& words) {
    Hit hit;
    hit.passage.document_id = id;
    hit.passage.text = words;
    hits.push_back(hit);
  };
  add("original", text);
  add("repost", "转载：" + text);
  add("other", "夜鹭比苍鹭小，夜里捕鱼，白天在树上睡觉，很少有人看见它们在水边行走的样子。");
  add("original", text);
  add("second repost", text + "（完）");
  add("repost", text);
  add("short", "苍鹭");
  collapse_near_duplicates(hits);
  ASSERT_EQ(hits.size(), 4u);
  EXPECT_EQ(hits[0].passage.document_id, "original");
  EXPECT_EQ(hits[0].copies, (std::vector<std::string>{"repost", "second repost"}));
  EXPECT_EQ(hits[1].passage.document_id, "other");
  EXPECT_EQ(hits[2].passage.document_id, "original") << "passages of one document stay";
  EXPECT_EQ(hits[3].passage.document_id, "short");
}

std::vector<Hit> hits_of(const std::vector<std::string>& texts) {
  std::vector<Hit> hits;
  for (const std::string& text : texts) {
    Hit hit;
    hit.passage.document_id = std::to_string(hits.size());
    hit.passage.text = text;
    hits.push_back(hit);
  }
  return hits;
}

TEST(Collapsing, MessagesOfOneFormStayWhereTheirNumbersDiffer) {
  std::vector<Hit> hits = hits_of({"【快递】您的包裹已到小区东门驿站，取件码 7-2-4411，请于今天晚上九点之前凭取件码领取，逾期将退回。",
                                   "【快递】您的包裹已到小区东门驿站，取件码 3-1-9086，请于今天晚上九点之前凭取件码领取，逾期将退回。",
                                   "【快递】您的包裹已到小区东门驿站，取件码 7-2-4411，请于今天晚上九点之前凭取件码领取，逾期将退回。"});
  collapse_near_duplicates(hits);
  ASSERT_EQ(hits.size(), 2u);
  EXPECT_EQ(hits[0].copies, std::vector<std::string>{"2"});
}

TEST(Collapsing, ArticlesGoWhereOnlyTheirDatesAndCountsDiffer) {
  std::mt19937 random(5);
  const std::string text = random_text(random, 100);
  std::vector<Hit> hits = hits_of({"2026-03-01 read 512 times. " + text, text + " 2026-03-04, read 99 times."});
  collapse_near_duplicates(hits);
  EXPECT_EQ(hits.size(), 1u);
}

TEST(Collapsing, ThousandsOfHitsTakeNoLongerThanTheFirstThousand) {
  std::vector<std::string> texts;
  for (int i = 0; i < 1'500; ++i) texts.push_back("message " + std::to_string(i) + " of one form, which thousands of others have as well");
  texts.push_back(texts[0]);
  std::vector<Hit> hits = hits_of(texts);
  collapse_near_duplicates(hits);
  EXPECT_EQ(hits.size(), texts.size()) << "a copy so far down stays";
}

}  // namespace
}  // namespace wenqu::retrieval
