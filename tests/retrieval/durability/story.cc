#include "story.h"

namespace wenqu::retrieval {
namespace {

constexpr unsigned kDocuments = 20;

std::string id_of(unsigned number) { return "doc" + std::to_string(number); }

// Letters only: the analysis would give the parts of "token12" too.
std::string word_of(unsigned number) {
  std::string word = "zz";
  for (; number > 0; number /= 10) word += static_cast<char>('b' + number % 10);
  return word + "qx";
}

}  // namespace

std::vector<Commit> make_story(unsigned seed, int commits) {
  std::mt19937 random(seed);
  std::vector<Commit> story;
  for (int i = 0; i < commits; ++i) {
    Commit commit;
    for (unsigned changes = 1 + random() % 3; changes > 0; --changes) {
      const unsigned number = random() % kDocuments;
      Change change{id_of(number), {}};
      if (random() % 4 != 0) change.text = word_of(random() % 100'000'000) + " 灯笼 lantern by the water. 第二句。";
      commit.push_back(std::move(change));
    }
    story.push_back(std::move(commit));
  }
  return story;
}

State after(State state, const Commit& commit) {
  for (const Change& change : commit) {
    if (change.text.empty())
      state.erase(change.id);
    else
      state[change.id] = change.text;
  }
  return state;
}

Status write(Index& index, const Commit& commit, Commit* taken) {
  if (taken) taken->clear();
  for (const Change& change : commit) {
    Document document;
    document.id = change.id;
    document.text = change.text;
    WENQU_RETURN_IF_ERROR(change.text.empty() ? index.remove(change.id) : index.add(document));
    if (taken) taken->push_back(change);
    if (commit.size() == 2) WENQU_RETURN_IF_ERROR(index.make_visible());
  }
  return index.commit();
}

Result<std::unique_ptr<Index>> open_to_write(const std::string& directory) {
  IndexOptions options;
  options.vocabulary.words.emplace().push_back({"守夜人", 1});   // kept in a file of the commits
  options.vocabulary.synonyms.emplace().push_back({{"lantern", "lamp"}, {}});
  options.own_threads = false;
  options.merge_factor = 3;
  return Index::open(directory, Index::Mode::write, options);
}

Result<State> stored(const std::string& directory) {
  State state;
  auto index = Index::open(directory, Index::Mode::read);
  if (!index) {
    if (index.status().code() == StatusCode::not_found) return state;
    return index.status();
  }
  for (unsigned number = 0; number < kDocuments; ++number) {
    const auto document = (*index)->fetch(id_of(number));
    if (!document && document.status().code() == StatusCode::not_found) continue;
    if (!document) return document.status();
    state[document->id] = document->text;
    SearchRequest request;
    request.query = document->text.substr(0, document->text.find(' '));
    WENQU_ASSIGN_OR_RETURN(const SearchResponse response, (*index)->search(request, CancelToken()));
    if (response.hits.size() != 1 || response.hits[0].passage.document_id != document->id)
      return Status(StatusCode::internal, "a stored document is not found by its word", document->id);
  }
  if ((*index)->stats().documents != state.size())
    return Status(StatusCode::internal, "the index counts other documents than it gives");
  return state;
}

std::string compare(const std::string& directory, const State& acknowledged, const State* attempted, State* found) {
  const auto state = stored(directory);
  if (!state) return "cannot be read: " + state.status().to_string();
  if (found) *found = *state;
  if (*state == acknowledged || (attempted && *state == *attempted)) return {};
  return "holds " + std::to_string(state->size()) + " documents that are neither what was acknowledged (" +
         std::to_string(acknowledged.size()) + ") nor what was attempted";
}

}  // namespace wenqu::retrieval
