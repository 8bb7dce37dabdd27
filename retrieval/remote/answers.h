// What the cluster says, taken out of its JSON. Nothing in it is trusted: what does not have the form it should is
// `corrupt`, naming what is wrong. Bodies are parsed in place, hence taken by value.
//
// Thread safety: pure.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"
#include "retrieval/passage.h"
#include "retrieval/remote/layout.h"

namespace wenqu::retrieval {

struct RemoteServer {
  bool is_opensearch = false;
  int major = 0, minor = 0;
  std::string version;  // "7.10.2"
};
Result<RemoteServer> parse_server(std::string body);

struct RemoteHealth {
  std::string status;  // green, yellow or red
  bool timed_out = false;
  uint64_t unassigned_shards = 0;
};
Result<RemoteHealth> parse_health(std::string body);

// What an index was made with.
struct RemoteOrigin {
  int format = 0;  // 0: the index is not one of ours
  int analysis = 0;
  RemoteVectors vectors;
};
// Of GET /index/_mapping.
Result<RemoteOrigin> parse_origin(std::string body);

struct BulkAnswer {
  int status = 0;  // of one item, as HTTP has them
  std::string reason;
};
Result<std::vector<BulkAnswer>> parse_bulk(std::string body, size_t items);

struct RemoteHit {
  Hit hit;
  uint32_t passages = 1;  // of its document
};
struct RemoteHits {
  std::vector<RemoteHit> hits;
  uint64_t total = 0;
  bool total_is_exact = true;
};
Result<RemoteHits> parse_hits(std::string body);
Result<std::vector<RemoteHits>> parse_all_hits(std::string body, size_t searches);

struct RemoteText {
  std::string document_id;
  uint32_t ordinal = 0;
  std::string text;
};
Result<std::vector<RemoteText>> parse_texts(std::string body);

struct RemoteTotals {
  uint64_t documents = 0;
  uint64_t passages = 0;
  struct Lengths {
    uint64_t passages = 0;  // that have the field
    double average = 0;
  };
  std::array<Lengths, kRemoteFields.size()> fields{};
};
// `totals` may be null: they were not asked for.
Result<std::vector<uint64_t>> parse_statistics(std::string body, size_t terms, RemoteTotals* totals);

// 0 for what is not there.
Result<std::vector<uint32_t>> parse_slots(std::string body, size_t records);
Result<Document> parse_record(std::string body);
Result<uint64_t> parse_commit(std::string body);
Result<Vocabulary> parse_vocabulary_note(std::string body);

// What the server says of an error, in one line of bounded length; empty when it says nothing.
std::string parse_reason(std::string body);

}  // namespace wenqu::retrieval
