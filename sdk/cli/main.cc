#include <CLI/CLI.hpp>
#include <cstdlib>
#include <exception>
#include <regex>

#include "sdk/cli/commands.h"

namespace {

using namespace wenqu::cli;

const std::string kSources = "official_account, video, web, chat or file";

const std::string kTypes = "F32, F16, BF16, Q8_0, Q6_K, Q5_K, Q5_0, Q5_1, Q4_K_M (Q4_K with Q6_K where it matters), Q4_K, Q4_0, "
                           "Q4_1, IQ4_NL, IQ4_XS, Q3_K or Q2_K";

// A limit that is misspelt would be none.
wenqu::Status check_environment() {
  const char* most = std::getenv("WENQU_ISA");
  if (!most || !*most || std::regex_match(most, std::regex("scalar|avx2|avx512|amx", std::regex::icase))) return {};
  return wenqu::Status(wenqu::StatusCode::invalid_argument, std::string("is '") + most + "', and must be scalar, avx2, avx512, amx or empty", "WENQU_ISA");
}

CLI::App* add_command(CLI::App& app, const char* name, const char* text, const std::function<int()>& run, int& code) {
  CLI::App* command = app.add_subcommand(name, text);
  command->callback([&code, run] {
    const wenqu::Status usable = check_environment();
    code = usable ? run() : report(usable);
  });
  return command;
}

void add_kv_option(CLI::App& command, wenqu::engine::KvType& kv) {
  command.add_option_function<std::string>(
      "--kv", [&kv](const std::string& name) { kv = *wenqu::engine::parse_kv_type(name); },
      "how the KV cache keeps numbers: f32, f16, bf16, q8_0 or fp8 (default " + std::string(wenqu::engine::kv_type_name(kv)) + ")")
      ->check(CLI::IsMember({"f32", "f16", "bf16", "q8_0", "fp8"}));
}

void add_remote_options(CLI::App& command, RemoteFlags& remote) {
  command.add_option("--ca", remote.ca, "of a cluster: PEM file of the authorities whose certificates are trusted (or WENQU_REMOTE_CA)");
  command.add_option("--credentials", remote.credentials,
                     "of a cluster: file whose first line is USER:PASSWORD, \"ApiKey KEY\" or \"Bearer TOKEN\" (or WENQU_REMOTE_PASSWORD ...)");
}

void add_filter_options(CLI::App& command, FilterOptions& filter) {
  command.add_option("--from", filter.from, "only what was published since: a date or date-time, such as 2024-05-06");
  command.add_option("--until", filter.until, "only what was published up to then, a date's whole day included");
  command.add_option("--attribute", filter.attributes,
                     "NAME=VALUE, only documents with it (repeated: with one of a name's values, for every name)")
      ->allow_extra_args(false);
  command.add_option("--as", filter.principals, "only documents that this user or group may see, or everybody (may be repeated)")
      ->allow_extra_args(false);
  command.add_flag("--public", filter.check_access, "only documents that everybody may see, and those of --as");
}

void add_drafts_option(CLI::App& command, size_t& drafts) {
  command.add_option("--drafts", drafts,
                     "tokens of a repeated text that are read ahead at most (0 to 7; 0: none). The answer stays the same")
      ->check(CLI::Range(0, 7));
}

std::string check_device(const std::string& name) {
  if (std::regex_match(name, std::regex("cpu|auto|cuda(:all|:[0-9]+(,[0-9]+)*)?"))) return {};
  return "there is no device '" + name + "': cpu, cuda, cuda:NUMBER, several as cuda:0,1, cuda:all or auto";
}

// Options that would have no effect without another one are refused then.
void let_need(CLI::App& command, std::initializer_list<const char*> names, const char* needed) {
  for (const char* name : names) command.get_option(name)->needs(command.get_option(needed));
}

void add_device_options(CLI::App& command, std::string& device, int& gpu_layers, int& cpu_experts) {
  command.add_option("--device", device, "what runs the model: cpu, cuda (an NVIDIA GPU), cuda:NUMBER, several as cuda:0,1, cuda:all, or auto")
      ->check(check_device);
  command.add_option("--gpu-layers", gpu_layers, "on GPUs: so many of the last layers are computed there, the others on the CPU (default: all, or "
                     "as many as fit)")->check(CLI::Range(0, 10000));
  command.add_option("--cpu-experts", cpu_experts, "on GPUs: layers whose routed experts the CPU computes (default: as few as their "
                     "memory asks for)")->check(CLI::Range(0, 10000));
  let_need(command, {"--gpu-layers", "--cpu-experts"}, "--device");
  const CLI::Option* const named = command.get_option("--device");   // comes before them, so it is read by then
  for (const char* name : {"--gpu-layers", "--cpu-experts"})
    command.get_option(name)->check([&device, named](const std::string&) {
      return named->count() > 0 && device == "cpu" ? std::string("is for GPUs: give --device cuda") : std::string();
    });
}

void add_model_options(CLI::App& command, ModelOptions& model) {
  command.add_option("-t,--threads", model.threads, "compute threads (0: one per core)")->check(CLI::Range(0, 1024));
  add_device_options(command, model.device, model.gpu_layers, model.cpu_experts);
  command.add_option("--nice", model.nice, "how far the compute threads step back for other work (0 to 19)")->check(CLI::Range(0, 19));
  command.add_option("--chat-template", model.chat_template, "name of the chat template, where the file's is not known");
  command.add_option("--memory", model.memory_mib, "memory for the model and its sessions, in MiB (0: what is free); a mixture of experts "
                     "that is larger keeps those used most and reads the others on demand")->check(CLI::Range(uint64_t{0}, uint64_t{1} << 40));
  add_kv_option(command, model.kv);
  command.add_flag("--deterministic", model.deterministic, "the same figures to the last bit however the prompt is divided");
  const char* const unasked = model.repack == wenqu::engine::Repack::when_ample ? " (default: where that takes half of the free memory at most)" : "";
  CLI::Option* const repack = command.add_flag_callback("--repack", [&model] { model.repack = wenqu::engine::Repack::always; },
                            std::string("arrange the weights for this processor in memory of its own: loads longer, answers faster (on the CPU)") + unasked);
  command.add_flag_callback("--no-repack", [&model] { model.repack = wenqu::engine::Repack::never; }, "leave the weights in the file, mapped")->excludes(repack);
  command.add_option("--expert-groups", model.expert_groups, "route by GROUPS/USED, such as 8/4, whatever the file says");
}

// Where --model may be left out. Threads and niceness are also of the models that searches use.
void let_model_options_need_it(CLI::App& command) {
  let_need(command, {"--device", "--chat-template", "--memory", "--kv", "--deterministic", "--repack", "--no-repack", "--expert-groups", "--drafts"}, "--model");
}

void add_vocabulary(CLI::App& command, VocabularyFlags& vocabulary) {
  command.add_option("--words", vocabulary.words, "file of words that no dictionary has, one a line (docs/words.md); kept with the index");
  command.add_option("--synonyms", vocabulary.synonyms, "file of words that mean the same, 'a, b' or 'a => b' a line; kept with the index");
  command.add_flag_callback("--pinyin", [&vocabulary] { vocabulary.pinyin = true; }, "have Chinese found by its pinyin too: beijing daxue, bjdx");
  command.add_flag_callback("--no-pinyin", [&vocabulary] { vocabulary.pinyin = false; }, "and no more");
}

void add_search_models(CLI::App& command, SearchModelFlags& models, bool searches) {
  command.add_option("--embed", models.embed, searches ? "GGUF embedding model: search by vectors too, which that model made"
                                                       : "GGUF embedding model: passages get vectors, for searches by meaning");
  if (searches) {
    command.add_option("--rerank", models.rerank, "GGUF cross-encoder or generative model that ranks the best hits again; may be that of --model");
    command.add_option_function<std::string>(
        "--query-prefix", [&models](const std::string& text) { models.query_prefix = text, models.has_query_prefix = true; },
        "text before questions, where the model's own is not known");
  }
  command.add_option_function<std::string>(
      "--passage-prefix", [&models](const std::string& text) { models.passage_prefix = text, models.has_passage_prefix = true; },
      "text before passages, where the model's own is not known");
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"wenqu (问渠): ask your own content, and see the sources of every answer"};
  app.set_version_flag("--version", "wenqu " WENQU_VERSION);
  app.require_subcommand(1);
  app.get_formatter()->column_width(34);
  app.footer("Exit codes: 0 done, 1 failed, 2 wrong usage, 3 some input passed over or something lost, 4 in use, 130 stopped.");
  int code = kExitOk;

  IndexOptions index;
  CLI::App* command = add_command(app, "index", "Add files to an index and make it as folders are: .jsonl .txt .md .html .pdf .docx .epub .csv .tsv .eml .srt .vtt",
                                  [&] { return run_index(index); }, code);
  command->add_option("--index,--remote", index.index, "directory of the index, or address of a cluster's: https://USER@HOST:9200/NAME (made when absent)")->required();
  add_remote_options(*command, index.remote);
  command->add_option("--state", index.state, "of a cluster: folder for what is known of the files (default: under the user's home)");
  command->add_option("--source", index.source, "kind of documents that name none: " + kSources);
  command->add_option("--commit-every", index.commit_every, "documents between two durable commits")
      ->check(CLI::PositiveNumber);
  command->add_option("--remove", index.remove, "id of a document to remove (may be repeated)");
  command->add_flag("--optimize", index.optimize, "merge all into one segment at the end, which is searched fastest");
  command->add_flag("--full", index.full, "read files again that have not changed");
  command->add_flag("--watch", index.watch, "go on: follow the changes in the folders until Ctrl-C");
  command->add_option("--near-duplicates", index.near_duplicates, "documents that say nearly the same as another: keep, mark or drop")
      ->check(CLI::IsMember({"keep", "mark", "drop"}));
  add_vocabulary(*command, index.vocabulary);
  add_search_models(*command, index.models, false);
  command->add_flag("--embed-again", index.embed_again, "with --embed: make all vectors anew, also those of another model");
  command->add_option("-t,--threads", index.threads, "compute threads of the embedding model (0: one per core)")->check(CLI::Range(0, 1024));
  command->add_flag("--json", index.json, "print JSON lines: {\"committed\": N} after each durable commit");
  command->add_option("PATH", index.paths, "files to add, and folders to follow: what vanishes from them is removed");

  CheckOptions check;
  command = add_command(app, "check", "Look an index over: its files, then all that they hold", [&] { return run_check(check); }, code);
  command->add_flag("--repair", check.repair, "go back to the commit before, when the newest one is damaged");
  command->add_flag("--json", check.json, "print one JSON object");
  add_remote_options(*command, check.remote);
  command->add_option("DIR", check.index, "directory of the index, or address of a cluster's, whose health is told")->required();

  StatsOptions stats;
  command = add_command(app, "stats", "Tell what an index consists of", [&] { return run_stats(stats); }, code);
  command->add_option("--terms", stats.terms, "the commonest terms of each field, so many (reads every term)")
      ->check(CLI::Range(0, 1000));
  command->add_flag("--json", stats.json, "print one JSON object");
  command->add_option("DIR", stats.index, "directory of the index")->required();

  BackupCommandOptions backup;
  command = add_command(app, "backup", "Copy an index while it is used; the copy is an index", [&] { return run_backup(backup); }, code);
  command->add_flag("--link", backup.link, "hard links instead of copies where possible: at once, but on the same disk");
  command->add_flag("--json", backup.json, "print one JSON object");
  command->add_option("DIR", backup.index, "directory of the index")->required();
  command->add_option("OUT", backup.out, "new or empty directory for the copy")->required();

  MigrateOptions migrate;
  command = add_command(app, "migrate", "Bring an index of an older version to this one, or to other words", [&] { return run_migrate(migrate); }, code);
  add_vocabulary(*command, migrate.vocabulary);
  command->add_flag("--json", migrate.json, "print one JSON object");
  command->add_option("DIR", migrate.index, "directory of the index")->required();

  CollectionsOptions collections;
  command = add_command(app, "collections", "Keep several indexes in one place: list them, create or drop one",
                        [&] { return run_collections(collections); }, code);
  command->add_option("ACTION", collections.action, "list, create or drop")->required()->check(CLI::IsMember({"list", "create", "drop"}));
  command->add_option("DIR", collections.directory, "directory of the collections; each is an index in it")->required();
  command->add_option("NAME", collections.name, "of the collection to create or drop");

  SearchOptions search;
  command = add_command(app, "search", "Search without answering", [&] { return run_search(search); }, code);
  command->add_option("--index,--remote", search.index, "directory of the index (may be repeated: several are searched as one), or address of a cluster's")->required()->allow_extra_args(false);
  add_remote_options(*command, search.remote);
  command->add_option("--top", search.top, "results wanted (default 10; 100 with --run)")->check(CLI::Range(1, 10000));
  command->add_option("--offset", search.offset, "results to pass over, for further pages")->check(CLI::Range(0, 9999));
  command->add_option("--source", search.sources, "only these kinds: " + kSources + " (may be repeated)");
  add_filter_options(*command, search.filter);
  command->add_flag("--all-copies", search.all_copies, "list passages too that say the same as a better one of another document");
  add_search_models(*command, search.models, true);
  command->add_flag("--hybrid", search.hybrid, "fail where vectors cannot be searched, instead of searching by words alone");
  command->add_option("--fusion", search.fusion, "how the findings of words and vectors become one order: by ranks or by scores")
      ->check(CLI::IsMember({"ranks", "scores"}));
  command->add_option("--dense-weight", search.dense_weight, "weight of the vectors' findings, 0 to 1 (default 0.5)")->check(CLI::Range(0.0, 1.0));
  command->add_option("--candidates", search.candidates, "findings of each kind that are fused (default 100)")->check(CLI::Range(1, 10000));
  command->add_option("--reranked", search.reranked, "best hits that are ranked again (default 20)")->check(CLI::Range(1, 10000));
  command->add_option("-t,--threads", search.threads, "compute threads of the models (0: one per core)")->check(CLI::Range(0, 1024));
  command->add_flag("--json", search.json, "print one JSON object");
  CLI::Option* queries = command->add_option("--queries", search.queries_file, "file of lines 'id<TAB>query'");
  CLI::Option* run = command->add_option("--run", search.run_file, "write TREC run lines here: qid Q0 docid rank score wenqu");
  queries->needs(run);
  run->needs(queries);
  command->add_option("QUERY", search.query, "what to search for");

  EvalOptions eval;
  command = add_command(app, "eval", "Measure how good the search is, against judged questions", [&] { return run_eval(eval); }, code);
  command->add_option("--docs", eval.docs, "documents to index first, for this run only unless --index says where");
  command->add_option("--index,--remote", eval.index, "directory of the index, or address of a cluster's");
  add_remote_options(*command, eval.remote);
  command->add_option("--queries", eval.queries, "file of lines 'id<TAB>query'");
  command->add_option("--qrels", eval.qrels, "judgements: lines 'query 0 document grade'");
  command->add_option("--run", eval.run, "write TREC run lines here");
  command->add_option("--top", eval.top, "documents to list for a question (default 100; the measures look at 20)")->check(CLI::Range(1, 10000));
  command->add_option("--judge", eval.judge, "measure this run, of any program, in place of a search")->excludes("--docs", "--index", "--queries");
  command->add_option("--compare", eval.compare, "a run to hold it against, question by question");
  command->add_option("--ranking", eval.ranking, "JSON file of ranking parameters (docs/ranking.md)");
  add_vocabulary(*command, eval.vocabulary);
  command->add_flag("--print-ranking", eval.print_ranking, "print the ranking parameters in force, as --ranking reads them, and end");
  command->add_flag("--passages", eval.passages,
                    "judgements are of passages, named by their document and number from 0: article.3");
  command->add_flag("--per-query", eval.per_query, "list the questions whose rank differs; with --json all of them");
  command->add_flag("--json", eval.json, "print one JSON object");

  AskOptions ask;
  command = add_command(app, "ask", "Answer a question, with sources; without QUESTION, ask at a prompt",
                        [&] {
                          ask.asked = app.get_subcommand("ask")->count("QUESTION") > 0;
                          return run_ask(ask);
                        }, code);
  command->add_option("--index,--remote", ask.index, "directory of the index, or address of a cluster's")->required();
  add_remote_options(*command, ask.remote);
  command->add_option("--model", ask.model.path, "GGUF model (without one, answers are extracted from the sources)");
  add_search_models(*command, ask.search, true);
  command->add_option("--mode", ask.mode, "quick or deep")->check(CLI::IsMember({"quick", "deep"}));
  command->add_option("--source", ask.sources, "only these kinds: " + kSources + " (may be repeated)");
  add_filter_options(*command, ask.filter);
  command->add_option("--seed", ask.seed, "seed of the sampling (0: a new one each time)");
  command->add_option("--temperature", ask.temperature, "0: always the best token");
  command->add_option("--max-thinking", ask.max_thinking_tokens, "tokens of thinking");
  command->add_option("--max-answer", ask.max_answer_tokens, "tokens of the answer");
  command->add_option("--time-limit", ask.time_limit, "seconds (0: none)");
  command->add_flag("--conversation", ask.conversation, "lines of standard input: each goes on from the one before, as at a prompt");
  command->add_flag("--progress", ask.progress, "with --json: wenqu.progress events too");
  command->add_flag("--json", ask.json, "print the events, one JSON object a line");
  add_model_options(*command, ask.model);
  add_drafts_option(*command, ask.model.drafts);
  let_model_options_need_it(*command);
  command->add_option("QUESTION", ask.question, "the question")->excludes(command->get_option("--conversation"));

  ServeOptions serve;
  command = add_command(app, "serve", "Answer over websocket", [&] { return run_serve(serve); }, code);
  command->add_option("--index,--remote", serve.index, "directory of the index, or address of a cluster's")->required();
  add_remote_options(*command, serve.remote);
  command->add_option("--model", serve.model.path, "GGUF model (without one, answers are extracted from the sources)");
  add_search_models(*command, serve.search, true);
  command->add_option("--listen", serve.listen, "ADDRESS:PORT (port 0: any free one); without TLS, so beyond this machine put a reverse proxy in front");
  command->add_option("--allow-origin", serve.origins, "web origin that may connect besides loopback pages (may be repeated)");
  command->add_option("--allow-host", serve.hosts, "name under which clients may know the server, as behind a reverse proxy (may be repeated)");
  command->add_option("--token-file", serve.token_file, "file that holds the token clients must show");
  command->add_option("--max-running", serve.max_running, "answers that are computed at once (default 2)")->check(CLI::Range(1, 256));
  command->add_option("--max-waiting", serve.max_waiting, "questions that wait for that; more are told that the server is busy (default 64)")
      ->check(CLI::Range(0, 65536));
  add_model_options(*command, serve.model);
  add_drafts_option(*command, serve.model.drafts);
  let_model_options_need_it(*command);

  InspectOptions inspect;
  command = add_command(app, "inspect", "Show what a model is and what it needs", [&] { return run_inspect(inspect); }, code);
  command->add_option("--context", inspect.context, "tokens to reckon the memory for")->check(CLI::Range(uint64_t{1}, uint64_t{1} << 40));
  add_kv_option(*command, inspect.kv);
  add_device_options(*command, inspect.device, inspect.gpu_layers, inspect.cpu_experts);
  command->add_option("--memory", inspect.memory_mib, "of each GPU, so much is reckoned with, in MiB (0: what is free)")->check(CLI::Range(uint64_t{0}, uint64_t{1} << 40));
  let_need(*command, {"--memory"}, "--device");
  command->add_flag("--metadata", inspect.metadata, "list the file's metadata");
  command->add_flag("--tensors", inspect.tensors, "list every tensor");
  command->add_option("MODEL", inspect.model, "GGUF file")->required();

  EmbedOptions embed;
  command = add_command(app, "embed", "Turn each line of standard input into a vector, as a JSON array; or score it as an answer",
                        [&] { return run_embed(embed); }, code);
  command->add_option("--model", embed.model, "GGUF file of an embedding model, or with --query of a reranking model")->required();
  command->add_option_function<std::string>("--query", [&](const std::string& text) { embed.query = text; },
                                            "print how well each line answers this instead of vectors");
  command->add_option("-t,--threads", embed.threads, "compute threads (0: one per core)")->check(CLI::Range(0, 1024));

  TokenizeOptions tokenize;
  command = add_command(app, "tokenize", "Turn the text on standard input into token ids, on one line",
                        [&] { return run_tokenize(tokenize); }, code);
  command->add_option("--model", tokenize.model, "GGUF file")->required();
  command->add_flag("--special", tokenize.special, "let control tokens spelled in the text count");

  LogitsOptions logits;
  command = add_command(app, "logits", "Write the logits after each token, as little-endian float32",
                        [&] { return run_logits(logits); }, code);
  command->add_option("--model", logits.model.path, "GGUF file")->required();
  command->add_option("--tokens", logits.tokens, "token ids, divided by commas")->required();
  command->add_option("--out", logits.out, "file to write")->required();
  command->add_option("--together", logits.together, "tokens that are read at once (0: all, as a prompt; 1: as an answer is made)")->check(CLI::Range(uint64_t{0}, uint64_t{1} << 40));
  add_model_options(*command, logits.model);

  QuantizeOptions quantize;
  command = add_command(app, "quantize", "Write a model file again with other types", [&] { return run_quantize(quantize); }, code);
  command->add_option("INPUT", quantize.input, "GGUF file (of a model in parts, any)")->required();
  command->add_option("OUTPUT", quantize.output, "file to write")->required();
  command->add_option("--type", quantize.type, kTypes)->required();
  command->add_option("-t,--threads", quantize.threads, "compute threads (0: one per core)")->check(CLI::Range(0, 1024));

  ConvertOptions convert;
  command = add_command(app, "convert", "Make a model file of a folder of safetensors, as models are published",
                        [&] { return run_convert(convert); }, code);
  command->add_option("FOLDER", convert.folder, "folder with config.json, tokenizer.json and *.safetensors")->required();
  command->add_option("OUTPUT", convert.output, "GGUF file to write")->required();
  command->add_option("--type", convert.type, kTypes)->required();
  command->add_option("--pre-tokenizer", convert.pre_tokenizer, "name of the pre-tokenizer, where the folder's is not recognised");
  command->add_option("-t,--threads", convert.threads, "compute threads (0: one per core)")->check(CLI::Range(0, 1024));

  BenchOptions bench;
  command = add_command(app, "bench", "Measure prefill and decode speed", [&] { return run_bench(bench); }, code);
  // Under both names, as `inspect` takes the one and `ask` the other.
  CLI::Option_group* file = command->add_option_group("Model");
  file->add_option("MODEL", bench.model.path, "GGUF file");
  file->add_option("--model", bench.model.path, "the same");
  file->require_option(1);
  command->add_option("-p", bench.prompt, "prompt tokens to prefill (0: skip)")->check(CLI::Range(0, 1 << 20));
  command->add_option("-n", bench.decode, "tokens to decode (0: skip)")->check(CLI::Range(0, 1 << 20));
  command->add_option("-b", bench.sessions, "sessions that decode together, in a row of their own (1: none)")->check(CLI::Range(1, 256));
  command->add_option("-d", bench.depth, "tokens in the context before (default 0)")->check(CLI::Range(0, 1 << 20));
  command->add_option("-r", bench.repetitions, "repetitions")->check(CLI::Range(1, 1000));
  command->add_flag("--json", bench.json, "print a JSON array");
  add_model_options(*command, bench.model);

  if (argc > 1 && argv[1][0] != '-' && app.get_subcommands([&](CLI::App* one) { return one->get_name() == argv[1]; }).empty())
    return report(wenqu::Status(wenqu::StatusCode::invalid_argument, "is no command: `wenqu --help` lists them", argv[1]));
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int exit = app.exit(error);
    return exit == 0 ? kExitOk : kExitUsage;
  } catch (const std::exception& error) {
    return report(wenqu::Status(wenqu::StatusCode::internal, error.what()));
  }
  return code;
}
