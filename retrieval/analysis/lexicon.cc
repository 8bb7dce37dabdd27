#include "retrieval/analysis/lexicon.h"

#include "retrieval/analysis/fold.h"

namespace wenqu::retrieval {
namespace {

std::shared_ptr<const Dictionary> dictionary_of(const std::vector<UserWord>& words) {
  // Never destroyed, as plain() is not: a host may exit while searches run.
  static const auto& built_in = *new const std::shared_ptr<const Dictionary>(std::make_shared<const Dictionary>());
  if (words.empty()) return built_in;
  std::vector<Dictionary::UserWord> folded;
  for (const UserWord& word : words) {
    Dictionary::UserWord& entry = folded.emplace_back();
    for (const FoldedChar& c : fold(word.text)) entry.text += c.code_point;
    entry.weight = word.weight;
  }
  return std::make_shared<const Dictionary>(folded);
}

}  // namespace

Lexicon::Lexicon(Vocabulary vocabulary, std::shared_ptr<const Dictionary> dictionary)
    : vocabulary_(std::move(vocabulary)), dictionary_(std::move(dictionary)), synonyms_(vocabulary_.synonyms) {}

Result<std::shared_ptr<const Lexicon>> Lexicon::create(Vocabulary vocabulary) {
  WENQU_RETURN_IF_ERROR(check_vocabulary(vocabulary));
  auto dictionary = dictionary_of(vocabulary.words);
  return std::shared_ptr<const Lexicon>(new Lexicon(std::move(vocabulary), std::move(dictionary)));
}

const std::shared_ptr<const Lexicon>& Lexicon::plain() {
  static const auto& made = *new const std::shared_ptr<const Lexicon>(new Lexicon(Vocabulary(), dictionary_of({})));
  return made;
}

}  // namespace wenqu::retrieval
