// One index of an OpenSearch (1 and later) or Elasticsearch (7 and later) cluster: its requests, what of their failures
// is tried again, and what the others mean.
//
// Thread safety: all members from any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/cancel.h"
#include "base/http/http_client.h"
#include "base/status.h"
#include "retrieval/index.h"
#include "retrieval/remote/answers.h"
#include "retrieval/remote/layout.h"
#include "retrieval/remote/query.h"

namespace wenqu::retrieval {

class Cluster {
 public:
  // `url`: https://[user@]host[:port][/prefix]/index. Asks the server who it is. Errors: invalid_argument (the address or
  // the credentials), unsupported (another server, or too old), not_found (files), and those of every request: io_error,
  // timeout, busy (overloaded for long), cancelled or deadline_exceeded, corrupt, limit_exceeded.
  static Result<std::unique_ptr<Cluster>> open(const std::string& url, const RemoteOptions& options);

  // The address, without the user: what messages name.
  const std::string& name() const { return name_; }
  const RemoteServer& server() const { return server_; }
  // Whether the cluster multiplies scores by k1 + 1, as older ones do.
  bool scores_with_k1() const { return !(server_.is_opensearch && server_.major >= 3 && !calls_itself_elasticsearch()); }

  // Whether it searches vectors among what a filter leaves: Elasticsearch since 8.4, OpenSearch since 2.4.
  bool searches_vectors() const {
    if (calls_itself_elasticsearch()) return false;   // it may be of before
    const auto since = server_.is_opensearch ? std::pair(2, 4) : std::pair(8, 4);
    return std::pair(server_.major, server_.minor) >= since;
  }

  // Waits a little for an index that is being allocated. Errors: io_error for a red one.
  Status check_health(const CancelToken& cancel) const;
  // Errors: not_found (no such index), version_mismatch, invalid_argument (an index that is not ours).
  Result<RemoteOrigin> check_index(const CancelToken& cancel) const;
  Status create_index(const std::string& definition, const CancelToken& cancel) const;

  // Items that were refused for the moment are sent again. Errors besides: io_error, telling the first item that
  // failed and how many did.
  Status bulk(const std::vector<BulkItem>& items, const CancelToken& cancel) const;
  // Makes what was written visible to searches.
  Status refresh(const CancelToken& cancel) const;

  Result<std::vector<RemoteHits>> search(const std::vector<std::string>& bodies, const CancelToken& cancel) const;
  // The answer's body as it is.
  Result<std::string> search_raw(const std::string& body, const CancelToken& cancel) const;
  Result<std::vector<uint32_t>> slots(const std::vector<std::string>& record_keys, const CancelToken& cancel) const;
  // Errors besides: not_found.
  Result<std::string> get(const std::string& key, const CancelToken& cancel) const;

 private:
  // An OpenSearch 1 or 2 whose operator has it say 7.10.2, for old clients' sake.
  bool calls_itself_elasticsearch() const { return server_.is_opensearch && server_.major >= 7; }

  Cluster() = default;
  Result<std::string> ask(std::string method, const std::string& target, std::string body, const char* type,
                          const CancelToken& cancel, std::chrono::milliseconds timeout = {}) const;
  Status error_of(const HttpResponse& response) const;
  // The places of the items that have to be sent again.
  Result<std::vector<size_t>> send(const std::vector<BulkItem>& items, const std::vector<size_t>& places,
                                   const CancelToken& cancel) const;

  std::unique_ptr<HttpClient> client_;
  std::string name_;
  std::string index_;  // "/name", encoded
  RemoteServer server_;
};

}  // namespace wenqu::retrieval
