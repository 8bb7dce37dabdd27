#include <fmt/format.h>
#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

#include "base/http/url.h"
#include "retrieval/index.h"
#include "retrieval/index_check.h"
#include "sdk/cli/commands.h"
#include "sdk/cli/interrupt.h"

namespace wenqu::cli {
namespace {

using retrieval::CommitCheck;
using retrieval::IndexCheck;

void print_commit(std::string_view which, const CommitCheck& check) {
  const std::string number = check.commit ? fmt::format("commit {}", check.commit) : "a commit of unknown number";
  fmt::print("{}: {}, written {}: ", which, number,
             check.written_at.empty() ? "at an unknown time" : check.written_at + " UTC");
  if (check.whole()) {
    fmt::print("whole: {} documents, {} passages, {}{} files, {:.1f} MiB\n", check.documents, check.passages,
               check.vectors ? fmt::format("{} vectors, ", check.vectors) : "", check.files, static_cast<double>(check.bytes) / (1 << 20));
    return;
  }
  fmt::print("damaged\n");
  for (const Status& damage : check.damage) fmt::print("  {}\n", damage.to_string());
  for (const Status& damage : check.vector_damage) fmt::print("  vectors: {}\n", damage.to_string());
}

void print_check(const IndexCheck& check) {
  if (check.newest.commit == 0 && check.newest.whole()) {
    fmt::print("nothing was committed to this index yet\n");
    return;
  }
  print_commit("newest", check.newest);
  if (check.previous.commit != 0 || !check.previous.whole())
    print_commit("before", check.previous);
  else
    fmt::print("before: none, so there is nothing to go back to\n");
}

void print_advice(const std::string& directory, const IndexCheck& check) {
  if (check.newest.whole()) {
    if (!check.previous.whole())
      fmt::print("The index works, but until its next commit there is nothing to go back to.\n");
  } else if (check.can_drop_vectors()) {
    fmt::print("Only vectors are damaged: searching by words works. `wenqu check --repair {}` drops them, and `wenqu index --embed` makes "
               "them again.\n", directory);
  } else if (check.can_go_back()) {
    fmt::print("`wenqu check --repair {}` goes back to commit {}. All that was added, replaced or removed after {} UTC "
               "is lost then.\n", directory, check.previous.commit, check.previous.written_at);
  } else {
    fmt::print("Nothing whole is left to go back to: put a copy back, or index the documents again into an empty "
               "folder.\n");
  }
}

void print_repair(const IndexCheck& check) {
  if (check.can_drop_vectors()) {
    fmt::print("Repaired: the vectors are dropped, and no document is lost. `wenqu index --embed` makes them again.\n");
    return;
  }
  fmt::print("Repaired: the index is commit {} again, with {} documents. All that was added, replaced or removed between "
             "{} and {} UTC is lost: index those documents again, and remove again what was removed.\n",
             check.previous.commit, check.previous.documents, check.previous.written_at, check.newest.written_at);
}

using JsonWriter = rapidjson::Writer<rapidjson::StringBuffer>;

void write_commit(JsonWriter& writer, const CommitCheck& check) {
  writer.StartObject();
  writer.Key("commit");
  writer.Uint64(check.commit);
  writer.Key("written_at");
  writer.String(check.written_at.c_str());
  writer.Key("whole");
  writer.Bool(check.whole());
  writer.Key("documents");
  writer.Uint64(check.documents);
  writer.Key("passages");
  writer.Uint64(check.passages);
  writer.Key("vectors");
  writer.Uint64(check.vectors);
  writer.Key("files");
  writer.Uint64(check.files);
  writer.Key("bytes");
  writer.Uint64(check.bytes);
  writer.Key("damage");
  writer.StartArray();
  for (const std::vector<Status>* part : {&check.damage, &check.vector_damage})
    for (const Status& damage : *part) {
      writer.StartObject();
      writer.Key("where");
      writer.String(damage.where().c_str());
      writer.Key("problem");
      writer.String(damage.message().c_str());
      writer.EndObject();
    }
  writer.EndArray();
  writer.EndObject();
}

void print_json(const IndexCheck& check, bool repaired) {
  rapidjson::StringBuffer buffer;
  JsonWriter writer(buffer);
  writer.StartObject();
  writer.Key("repaired");
  writer.Bool(repaired);
  writer.Key("newest");
  write_commit(writer, check.newest);
  writer.Key("previous");
  write_commit(writer, check.previous);
  writer.EndObject();
  fmt::print("{}\n", buffer.GetString());
}

// A cluster keeps its own files: what can be told is whether it answers, and is whole.
Status check_remote(const CheckOptions& options, const CancelToken& cancel) {
  if (options.repair) return Status(StatusCode::invalid_argument, "a cluster repairs itself", "--repair");
  WENQU_ASSIGN_OR_RETURN(const auto index, retrieval::Index::open(options.index, retrieval::Index::Mode::read, {.remote = remote_options(options.remote)}));
  WENQU_RETURN_IF_ERROR(index->scrub(cancel));
  const retrieval::IndexStats stats = index->stats();
  if (options.json) fmt::print("{{\"healthy\": true, \"commit\": {}, \"documents\": {}, \"passages\": {}}}\n", stats.commit, stats.documents, stats.passages);
  else fmt::print("the cluster answers, and all of the index is there: commit {}, {} documents, {} passages\n", stats.commit, stats.documents, stats.passages);
  return {};
}

}  // namespace

int run_check(const CheckOptions& options) {
  Interrupt interrupt;
  if (looks_like_url(options.index)) return report(check_remote(options, interrupt.token()));
  const Result<IndexCheck> check = options.repair ? retrieval::repair_index(options.index, interrupt.token())
                                                  : retrieval::check_index(options.index, interrupt.token());
  if (!check) return report(check.status());
  const bool repaired = options.repair && !check->newest.whole();
  if (options.json) {
    print_json(*check, repaired);
  } else {
    print_check(*check);
    if (repaired) print_repair(*check);
    else print_advice(options.index, *check);
  }
  if (!check->newest.whole()) return repaired ? kExitPartial : kExitFailed;
  return check->previous.whole() ? kExitOk : kExitPartial;
}

}  // namespace wenqu::cli
