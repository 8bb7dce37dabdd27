#include "retrieval/remote/cluster.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "retrieval/remote/credentials.h"

namespace wenqu::retrieval {
namespace {

constexpr const char* kJson = "application/json";
constexpr const char* kLines = "application/x-ndjson";

// For items that were refused for the moment.
constexpr int kBulkAttempts = 8;
constexpr std::chrono::milliseconds kFirstPause{100}, kLongestPause{10'000};
constexpr std::chrono::milliseconds kHealthWait{10'000};
// What is wrong is told, not handed on whole.
constexpr const char* kBulkAnswer = "/_bulk?filter_path=errors,items.*.status,items.*.error.type,items.*.error.reason";

Status check_index_name(const std::string& name, const std::string& where) {
  const auto is_bad = [](char c) {
    return (c >= 'A' && c <= 'Z') || std::string_view("\\/*?\"<>| ,#:%").find(c) != std::string_view::npos ||
           static_cast<unsigned char>(c) < 0x20;
  };
  if (name.empty())
    return Status(StatusCode::invalid_argument,
                  "the address must end with the name of an index: https://host:9200/name", where);
  if (name.size() > 255 || std::string_view("-_+.").find(name.front()) != std::string_view::npos ||
      std::any_of(name.begin(), name.end(), is_bad))
    return Status(StatusCode::invalid_argument,
                  "an index is named by small letters, digits, '-' and '_', beginning with a letter or digit, in 255 "
                  "bytes at most",
                  where);
  return {};
}

bool is_passing(int status) { return status == 429 || status == 503; }

}  // namespace

Result<std::unique_ptr<Cluster>> Cluster::open(const std::string& text, const RemoteOptions& options) {
  WENQU_ASSIGN_OR_RETURN(Url url, parse_url(text));
  std::unique_ptr<Cluster> cluster(new Cluster);
  cluster->name_ = url.to_string();
  const size_t slash = url.path.rfind('/');
  const std::string name = slash == url.path.npos ? std::string() : url.path.substr(slash + 1);
  WENQU_RETURN_IF_ERROR(check_index_name(name, cluster->name_));
  cluster->index_ = "/" + percent_encode(name);
  url.path.resize(slash);
  HttpOptions http;
  WENQU_ASSIGN_OR_RETURN(http.authorization, find_authorization(url, options.credentials_file));
  http.url = std::move(url);
  http.ca_file = options.ca_file;
  if (const char* ca = std::getenv("WENQU_REMOTE_CA"); http.ca_file.empty() && ca) http.ca_file = ca;
  http.timeout = options.timeout;
  WENQU_ASSIGN_OR_RETURN(cluster->client_, HttpClient::create(std::move(http)));
  WENQU_ASSIGN_OR_RETURN(std::string body, cluster->ask("GET", "/", {}, nullptr, {}));
  auto server = parse_server(std::move(body));
  if (!server) return server.status().at(cluster->name_);
  cluster->server_ = std::move(*server);
  if (!cluster->server_.is_opensearch && cluster->server_.major < 7)
    return Status(StatusCode::unsupported,
                  "the server is Elasticsearch " + cluster->server_.version + ": 7 or later is needed, or OpenSearch",
                  cluster->name_);
  return cluster;
}

Status Cluster::error_of(const HttpResponse& response) const {
  const std::string reason = parse_reason(response.body);
  const std::string said = fmt::format("HTTP {}{}{}", response.status, reason.empty() ? "" : ", ", reason);
  switch (response.status) {
    case 400:
      return Status(StatusCode::invalid_argument, "the cluster does not take the request: " + said, name_);
    case 401:
      return Status(StatusCode::invalid_argument,
                    "the cluster does not accept the credentials (" + said +
                        "): see WENQU_REMOTE_USER, WENQU_REMOTE_PASSWORD, "
                        "WENQU_REMOTE_API_KEY and WENQU_REMOTE_TOKEN, or name a file of credentials",
                    name_);
    case 403:
      return Status(StatusCode::invalid_argument, "the cluster does not allow this (" + said + ")", name_);
    case 404:
      return Status(StatusCode::not_found, "this is not there: " + said, name_);
    case 408:
    case 504:
      return Status(StatusCode::timeout, "the cluster did not answer in time: " + said, name_);
    case 413:
      return Status(StatusCode::limit_exceeded, "the request is too large for the cluster: " + said, name_);
    case 429:
    case 503:
      return Status(StatusCode::busy, "the cluster is overloaded, or not ready (" + said + "): try again later", name_);
    default:
      return Status(StatusCode::io_error, "the cluster failed: " + said, name_);
  }
}

Result<std::string> Cluster::ask(std::string method, const std::string& target, std::string body, const char* type,
                                 const CancelToken& cancel, std::chrono::milliseconds timeout) const {
  HttpRequest request;
  request.method = std::move(method);
  request.target = target;
  request.body = std::move(body);
  if (type) request.content_type = type;
  request.timeout = timeout;
  WENQU_ASSIGN_OR_RETURN(HttpResponse response, client_->send(request, cancel));
  if (response.status < 200 || response.status > 299) return error_of(response);
  return std::move(response.body);
}

Status Cluster::check_health(const CancelToken& cancel) const {
  HttpRequest request;
  request.target = fmt::format("/_cluster/health{}?wait_for_status=yellow&timeout={}ms", index_, kHealthWait.count());
  request.timeout = kHealthWait + client_->options().timeout;
  WENQU_ASSIGN_OR_RETURN(HttpResponse response, client_->send(request, cancel));
  // Who may search need not be allowed to look at the cluster.
  if (response.status == 403) return {};
  // 408: the status that was waited for did not come; the answer tells which it is.
  if (response.status != 200 && response.status != 408) return error_of(response);
  auto health = parse_health(std::move(response.body));
  if (!health) return health.status().at(name_);
  if (health->status != "red") return {};
  return Status(StatusCode::io_error,
                fmt::format("the index is red: a primary shard of it is not available ({} shards are not assigned). "
                            "Look at the cluster's nodes "
                            "and disks (_cluster/allocation/explain)",
                            health->unassigned_shards),
                name_);
}

Result<RemoteOrigin> Cluster::check_index(const CancelToken& cancel) const {
  auto body = ask("GET", index_ + "/_mapping", {}, nullptr, cancel);
  if (body.status().code() == StatusCode::not_found)
    return Status(StatusCode::not_found, "there is no such index: build it with `wenqu index --remote`", name_);
  if (!body) return body.status();
  auto origin = parse_origin(std::move(*body));
  if (!origin) return origin.status().at(name_);
  if (origin->format == 0)
    return Status(StatusCode::invalid_argument,
                  "this index was not made by wenqu: name another one, which `wenqu index --remote` creates", name_);
  if (origin->format != kRemoteFormat || origin->analysis != kAnalysisVersion)
    return Status(StatusCode::version_mismatch,
                  fmt::format("the index was made by another version (format {}, analysis {}; this one has {} and {}): "
                              "build a new one under "
                              "another name, and drop this one",
                              origin->format, origin->analysis, kRemoteFormat, kAnalysisVersion),
                  name_);
  return origin;
}

Status Cluster::create_index(const std::string& definition, const CancelToken& cancel) const {
  const auto created = ask("PUT", index_, definition, kJson, cancel);
  if (created) return {};
  // Another one, or an attempt of ours whose answer was lost, was faster: check_index() says whether it will do.
  if (created.status().message().find("resource_already_exists_exception") != std::string::npos) return {};
  return created.status();
}

Result<std::vector<size_t>> Cluster::send(const std::vector<BulkItem>& items, const std::vector<size_t>& places,
                                          const CancelToken& cancel) const {
  std::string body;
  for (const size_t place : places) body += items[place].lines;
  WENQU_ASSIGN_OR_RETURN(std::string answer, ask("POST", index_ + kBulkAnswer, std::move(body), kLines, cancel));
  auto outcomes = parse_bulk(std::move(answer), places.size());
  if (!outcomes) return outcomes.status().at(name_);
  std::vector<size_t> again;
  size_t failed = 0, first = 0;
  for (size_t i = 0; i < places.size(); ++i) {
    const int status = (*outcomes)[i].status;
    if (is_passing(status)) again.push_back(places[i]);
    // 404: what was to be removed is not there; or else the index is not.
    const bool removes = items[places[i]].lines.starts_with("{\"delete\"");
    if (is_passing(status) || (status >= 200 && status <= 299) || (status == 404 && removes)) continue;
    if (failed++ == 0) first = i;
  }
  if (failed == 0) return again;
  return Status(StatusCode::io_error,
                fmt::format("the cluster refused {} of {} parts of documents; the first: HTTP {}, {} (document {})",
                            failed, places.size(), (*outcomes)[first].status, (*outcomes)[first].reason,
                            items[places[first]].document_id.substr(0, 64)),
                name_);
}

Status Cluster::bulk(const std::vector<BulkItem>& items, const CancelToken& cancel) const {
  std::vector<size_t> places;
  for (size_t i = 0; i < items.size(); ++i) places.push_back(i);
  for (int number = 1; !places.empty(); ++number) {
    if (number > 1) WENQU_RETURN_IF_ERROR(pause_for(pause_before(number, kFirstPause, kLongestPause), cancel));
    WENQU_ASSIGN_OR_RETURN(std::vector<size_t> again, send(items, places, cancel));
    if (!again.empty() && number >= kBulkAttempts)
      return Status(StatusCode::busy,
                    fmt::format("the cluster is overloaded: it refused {} of {} parts of documents {} times",
                                again.size(), items.size(), number),
                    name_);
    places = std::move(again);
  }
  return {};
}

Status Cluster::refresh(const CancelToken& cancel) const {
  return ask("POST", index_ + "/_refresh", {}, nullptr, cancel).status();
}

Result<std::vector<RemoteHits>> Cluster::search(const std::vector<std::string>& bodies,
                                                const CancelToken& cancel) const {
  std::vector<RemoteHits> found;
  if (bodies.empty()) return found;
  if (bodies.size() == 1) {
    WENQU_ASSIGN_OR_RETURN(std::string answer, search_raw(bodies[0], cancel));
    auto hits = parse_hits(std::move(answer));
    if (!hits) return hits.status().at(name_);
    found.push_back(std::move(*hits));
    return found;
  }
  std::string lines;
  for (const std::string& body : bodies)
    lines += "{\"search_type\":\"dfs_query_then_fetch\",\"allow_partial_search_results\":false}\n" + body + "\n";
  WENQU_ASSIGN_OR_RETURN(std::string answer, ask("POST", index_ + "/_msearch", std::move(lines), kLines, cancel));
  auto all = parse_all_hits(std::move(answer), bodies.size());
  return all ? std::move(all) : Result<std::vector<RemoteHits>>(all.status().at(name_));
}

Result<std::string> Cluster::search_raw(const std::string& body, const CancelToken& cancel) const {
  return ask("POST", index_ + "/_search?search_type=dfs_query_then_fetch&allow_partial_search_results=false", body,
             kJson, cancel);
}

Result<std::vector<uint32_t>> Cluster::slots(const std::vector<std::string>& record_keys,
                                             const CancelToken& cancel) const {
  WENQU_ASSIGN_OR_RETURN(std::string answer, ask("POST", index_ + "/_mget?_source_includes=slots",
                                                 slots_request(record_keys), kJson, cancel));
  auto slots = parse_slots(std::move(answer), record_keys.size());
  return slots ? std::move(slots) : Result<std::vector<uint32_t>>(slots.status().at(name_));
}

Result<std::string> Cluster::get(const std::string& key, const CancelToken& cancel) const {
  return ask("GET", fmt::format("{}/_doc/{}?routing={}", index_, key, key), {}, nullptr, cancel);
}

}  // namespace wenqu::retrieval
