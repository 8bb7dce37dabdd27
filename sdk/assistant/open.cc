#include "sdk/assistant/open.h"

#include <chrono>
#include <filesystem>
#include <mutex>

#include "sdk/assistant/extractive_generator.h"
#include "sdk/assistant/native_generator.h"
#include "sdk/assistant/search_models.h"

namespace wenqu::assistant {
namespace {

// Looks for the newest commit now and then. One thread at a time; others go on with what there is.
class Follower {
 public:
  Follower(std::shared_ptr<retrieval::Index> index, std::function<void(const Status&)> tell) : index_(std::move(index)), tell_(std::move(tell)) {}

  void look(const CancelToken& cancel) {
    const std::unique_lock lock(mutex_, std::try_to_lock);
    const auto now = std::chrono::steady_clock::now();
    if (!lock || now < next_) return;
    const Status status = index_->refresh(cancel);
    if (cancel.cancelled()) return;   // which says nothing of the index
    // A cluster that does not answer may have taken its time to say so.
    next_ = std::chrono::steady_clock::now() + std::chrono::seconds(status ? 1 : 10);
    if (!status) tell_(status);
  }

 private:
  const std::shared_ptr<retrieval::Index> index_;
  const std::function<void(const Status&)> tell_;
  std::mutex mutex_;
  std::chrono::steady_clock::time_point next_;
};

}  // namespace

bool is_same_file(const std::string& a, const std::string& b) {
  std::error_code error;
  return std::filesystem::equivalent(a, b, error);
}

Result<OpenedAssistant> open_assistant(const OpenOptions& options) {
  // The index first: it opens in milliseconds, so a wrong path is told before a model is loaded.
  retrieval::IndexModels search = options.search;
  // What searches call is there before the model is, which is there before the first search.
  const auto rerank = std::make_shared<retrieval::RerankFunction>();
  if (options.model_ranks)
    search.rerank = [rerank](const std::string& query, std::span<const std::string> texts, const CancelToken& cancel) {
      return (*rerank)(query, texts, cancel);
    };
  WENQU_ASSIGN_OR_RETURN(auto opened, retrieval::Index::open(options.index_directory, retrieval::Index::Mode::read, {.models = search, .remote = options.remote}));
  OpenedAssistant result;
  result.index = std::move(opened);
  std::shared_ptr<Generator> generator;
  if (options.model_path.empty()) {
    generator = std::make_shared<ExtractiveGenerator>(result.index);
  } else {
    WENQU_ASSIGN_OR_RETURN(auto model, engine::Model::load(options.model_path, options.model));
    if (options.on_model) options.on_model(model->info());
    if (options.model_ranks) {
      WENQU_ASSIGN_OR_RETURN(auto judge, engine::RelevanceJudge::create(model, {.timeline = options.timeline}));
      *rerank = rerank_with(std::move(judge));
    }
    WENQU_ASSIGN_OR_RETURN(generator, NativeGenerator::create(std::move(model), options.timeline, options.drafts));
  }
  Assistant::BeforeEach before_each;
  if (options.follow_commits) {
    const auto follower = std::make_shared<Follower>(result.index, options.follow_commits);
    before_each = [follower](const CancelToken& cancel) { follower->look(cancel); };
  }
  result.assistant = std::make_shared<const Assistant>(result.index, std::move(generator), std::move(before_each));
  return result;
}

}  // namespace wenqu::assistant
