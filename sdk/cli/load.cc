#include "sdk/cli/load.h"

#include <unistd.h>

#include <charconv>
#include <cstdio>

#include "sdk/assistant/search_models.h"

namespace wenqu::cli {
namespace {

void tell_device(const engine::ModelInfo& model) {
  if (!model.device_problem.empty()) std::fprintf(stderr, "no GPU is used: %s\n", model.device_problem.c_str());
}

}  // namespace

Result<engine::LoadOptions> load_options(const ModelOptions& options) {
  engine::LoadOptions load;
  load.threads = options.threads;
  load.nice = options.nice;
  load.device = options.device;
  load.gpu_layers = options.gpu_layers;
  load.cpu_experts = options.cpu_experts;
  load.memory_budget = options.memory_mib << 20;
  load.chat_template = options.chat_template;
  load.kv_type = options.kv;
  load.repack = options.repack;
  if (!options.expert_groups.empty()) {
    const std::string& text = options.expert_groups;
    const char* const end = text.data() + text.size();
    const auto [slash, error] = std::from_chars(text.data(), end, load.expert_groups);
    const bool usable = error == std::errc() && slash != end && *slash == '/';
    const auto [rest, second] = usable ? std::from_chars(slash + 1, end, load.expert_groups_used) : std::from_chars_result{end, std::errc::invalid_argument};
    if (second != std::errc() || rest != end || load.expert_groups == 0)
      return Status(StatusCode::invalid_argument, "is not of the form GROUPS/USED, such as 8/4", "--expert-groups");
  }
  if (::isatty(STDERR_FILENO) == 1)
    load.progress = [](double fraction) {
      std::fprintf(stderr, fraction < 1 ? "\rloading the model: %3.0f%%" : "\r\033[K", fraction * 100);
      return true;
    };
  return load;
}

engine::TimelineOptions timeline_options(const ModelOptions& options) {
  return {.kv_type = options.kv, .deterministic = options.deterministic};
}

Result<retrieval::VocabularyChange> load_vocabulary(const VocabularyFlags& flags) {
  retrieval::VocabularyChange change;
  if (!flags.words.empty()) {
    WENQU_ASSIGN_OR_RETURN(change.words, retrieval::read_user_words(flags.words));
  }
  if (!flags.synonyms.empty()) {
    WENQU_ASSIGN_OR_RETURN(change.synonyms, retrieval::read_synonyms(flags.synonyms));
  }
  change.pinyin = flags.pinyin;
  return change;
}

Result<retrieval::IndexModels> load_search_models(const SearchModelFlags& flags, int threads, int nice) {
  assistant::SearchModelOptions options{.embed_path = flags.embed, .rerank_path = flags.rerank, .threads = threads, .nice = nice};
  if (flags.has_query_prefix) options.query_prefix = flags.query_prefix;
  if (flags.has_passage_prefix) options.passage_prefix = flags.passage_prefix;
  return assistant::load_search_models(options);
}

Result<assistant::OpenedAssistant> load_assistant(const std::string& index, const RemoteFlags& remote, const ModelOptions& model, const SearchModelFlags& search,
                                                  std::function<void(const Status&)> follow_commits) {
  assistant::OpenOptions open;
  open.follow_commits = std::move(follow_commits);
  open.index_directory = index;
  open.remote = remote_options(remote);
  open.model_path = model.path;
  WENQU_ASSIGN_OR_RETURN(open.model, load_options(model));
  open.timeline = timeline_options(model);
  open.drafts.max_tokens = model.drafts;
  SearchModelFlags others = search;
  open.model_ranks = assistant::is_same_file(model.path, search.rerank);
  if (open.model_ranks) others.rerank.clear();
  WENQU_ASSIGN_OR_RETURN(open.search, load_search_models(others, model.threads, model.nice));
  open.on_model = tell_device;
  return assistant::open_assistant(open);
}

Result<std::shared_ptr<const engine::Model>> load_model(const ModelOptions& model, const CancelToken& cancel) {
  WENQU_ASSIGN_OR_RETURN(const engine::LoadOptions load, load_options(model));
  WENQU_ASSIGN_OR_RETURN(std::shared_ptr<const engine::Model> loaded, engine::Model::load(model.path, load, cancel));
  tell_device(loaded->info());
  return loaded;
}

}  // namespace wenqu::cli
