// The commands of the program `wenqu`, each with its options; main.cc fills them from the command line.
//
// Exit codes: 0 done; 1 failed; 2 wrong usage or unusable input; 3 done, but some input was passed
// over (index, convert) or cut (embed), or something was lost (check); 4 in use by somebody else (index locked, port taken); 130 stopped by the user.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "engine/cache/kv_type.h"
#include "engine/draft/drafter.h"
#include "engine/model.h"
#include "retrieval/index.h"
#include "sdk/cli/filter.h"

namespace wenqu::cli {

inline constexpr int kExitOk = 0, kExitFailed = 1, kExitUsage = 2, kExitPartial = 3, kExitBusy = 4, kExitStopped = 130;

// Prints "wenqu: where: message" to standard error and gives the exit code that fits.
int report(const Status& status);

// Models that searches use besides words.
struct SearchModelFlags {
  std::string embed;
  std::string rerank;
  std::string query_prefix, passage_prefix;
  bool has_query_prefix = false, has_passage_prefix = false;
};

// How a cluster is reached, where the index is one's address.
struct RemoteFlags {
  std::string ca;
  std::string credentials;
};
inline retrieval::RemoteOptions remote_options(const RemoteFlags& flags) {
  return {.ca_file = flags.ca, .credentials_file = flags.credentials};
}

// What an index is taught; what is not named stays as it is.
struct VocabularyFlags {
  std::string words;      // files
  std::string synonyms;
  std::optional<bool> pinyin;
  bool any() const { return !words.empty() || !synonyms.empty() || pinyin; }
};

struct IndexOptions {
  std::string index;
  RemoteFlags remote;
  std::string state;    // where a cluster's index has what is known of the folders; empty: in the user's home
  std::string source = "file";
  uint64_t commit_every = 10000;
  std::string near_duplicates = "keep";
  bool full = false;    // read unchanged files too
  bool watch = false;
  bool json = false;
  bool optimize = false;
  std::vector<std::string> remove;
  std::vector<std::string> paths;
  SearchModelFlags models;
  bool embed_again = false;
  VocabularyFlags vocabulary;
  int threads = 0;
};
int run_index(const IndexOptions& options);

struct CheckOptions {
  std::string index;
  RemoteFlags remote;
  bool repair = false;
  bool json = false;
};
int run_check(const CheckOptions& options);

struct BackupCommandOptions {
  std::string index;
  std::string out;
  bool link = false;
  bool json = false;
};
int run_backup(const BackupCommandOptions& options);

struct StatsOptions {
  std::string index;
  size_t terms = 0;
  bool json = false;
};
int run_stats(const StatsOptions& options);

struct MigrateOptions {
  std::string index;
  VocabularyFlags vocabulary;
  bool json = false;
};
int run_migrate(const MigrateOptions& options);

struct CollectionsOptions {
  std::string action;
  std::string directory;
  std::string name;
};
int run_collections(const CollectionsOptions& options);

struct SearchOptions {
  std::vector<std::string> index;   // several: searched as one
  RemoteFlags remote;
  std::string query;
  std::string queries_file;
  std::string run_file;
  size_t top = 0;   // 0: 10, and 100 for a run
  size_t offset = 0;
  SearchModelFlags models;
  bool hybrid = false;   // fail rather than search by words alone
  std::string fusion = "ranks";
  double dense_weight = 0.5;
  size_t candidates = 100;
  size_t reranked = 20;
  int threads = 0;
  std::vector<std::string> sources;
  FilterOptions filter;
  bool all_copies = false;
  bool json = false;
};
int run_search(const SearchOptions& options);

struct EvalOptions {
  std::string docs;      // indexed first: into `index`, or for this run only
  std::string index;
  RemoteFlags remote;
  std::string queries;
  std::string qrels;
  std::string run;       // where ours is written
  std::string judge;     // a run to measure in place of a search
  std::string compare;   // a run to hold it against
  std::string ranking;   // file of RankingParameters
  VocabularyFlags vocabulary;
  bool passages = false;  // judgements are of passages, named by their document and number: "article.3"
  bool per_query = false;
  size_t top = 100;      // documents listed for a question; measures look at 20
  bool print_ranking = false;
  bool json = false;
};
int run_eval(const EvalOptions& options);

struct ModelOptions {
  std::string path;
  std::string chat_template;
  int threads = 0;
  int nice = 0;
  uint64_t memory_mib = 0;
  engine::KvType kv = engine::KvType::f16;
  bool deterministic = false;
  engine::Repack repack = engine::Repack::never;
  size_t drafts = engine::DraftOptions{}.max_tokens;
  std::string device = "cpu";
  int gpu_layers = -1, cpu_experts = -1;
  std::string expert_groups;   // "8/4"; empty: as the file says
};

struct AskOptions {
  std::string index;
  RemoteFlags remote;
  SearchModelFlags search;
  ModelOptions model;
  std::string mode = "quick";
  std::string question;
  bool asked = false;   // a question was given, if only an empty one
  bool conversation = false;
  std::vector<std::string> sources;
  FilterOptions filter;
  uint64_t seed = 0;
  double temperature = 0.6;
  size_t max_thinking_tokens = 2048;
  size_t max_answer_tokens = 1024;
  double time_limit = 0;
  bool progress = false;
  bool json = false;
};
int run_ask(const AskOptions& options);

struct ServeOptions {
  std::string index;
  RemoteFlags remote;
  SearchModelFlags search;
  ModelOptions model{.repack = engine::Repack::when_ample};
  std::string listen = "127.0.0.1:8377";
  std::vector<std::string> origins, hosts;
  std::string token_file;
  size_t max_running = 2, max_waiting = 64;
};
int run_serve(const ServeOptions& options);

struct InspectOptions {
  std::string model;
  uint64_t context = 4096;
  engine::KvType kv = engine::KvType::f16;
  std::string device = "cpu";
  int gpu_layers = -1, cpu_experts = -1;
  uint64_t memory_mib = 0;
  bool metadata = false;
  bool tensors = false;
};
int run_inspect(const InspectOptions& options);

struct EmbedOptions {
  std::string model;
  std::optional<std::string> query;   // scores instead of vectors
  int threads = 0;
};
int run_embed(const EmbedOptions& options);

struct TokenizeOptions {
  std::string model;
  bool special = false;
};
int run_tokenize(const TokenizeOptions& options);

struct LogitsOptions {
  ModelOptions model{.kv = engine::KvType::f32};   // its figures are held against others'
  std::string tokens;
  std::string out;
  size_t together = 0;   // tokens at a time; 0: all
};
int run_logits(const LogitsOptions& options);

struct QuantizeOptions {
  std::string input;
  std::string output;
  std::string type;
  int threads = 0;
};
int run_quantize(const QuantizeOptions& options);

struct ConvertOptions {
  std::string folder;
  std::string output;
  std::string type;
  std::string pre_tokenizer;
  int threads = 0;
};
int run_convert(const ConvertOptions& options);

struct BenchOptions {
  ModelOptions model{.repack = engine::Repack::when_ample};   // as a server has it
  size_t prompt = 512;
  size_t decode = 128;
  size_t sessions = 1;
  size_t depth = 0;
  size_t repetitions = 3;
  bool json = false;
};
int run_bench(const BenchOptions& options);

}  // namespace wenqu::cli
