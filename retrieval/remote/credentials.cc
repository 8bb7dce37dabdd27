#include "retrieval/remote/credentials.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>

namespace wenqu::retrieval {
namespace {

constexpr size_t kMaxBytes = 8 << 10;

std::string from_environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : std::string();
}

std::string base64(std::string_view bytes) {
  constexpr char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t group = 0;
    const size_t count = std::min<size_t>(3, bytes.size() - i);
    for (size_t j = 0; j < 3; ++j) group = group << 8 | (j < count ? static_cast<unsigned char>(bytes[i + j]) : 0u);
    for (size_t j = 0; j < 4; ++j) out += j <= count ? letters[group >> (18 - 6 * j) & 63] : '=';
  }
  return out;
}

Result<std::string> from_file(const std::string& path, const std::string& user) {
  std::ifstream file(path);
  std::string line;
  if (!file || !std::getline(file, line)) return Status(StatusCode::not_found, "no credentials can be read here", path);
  if (!line.empty() && line.back() == '\r') line.pop_back();
  if (line.size() > kMaxBytes)
    return Status(StatusCode::invalid_argument, "the first line is too long for credentials", path);
  if (line.starts_with("ApiKey ") || line.starts_with("Bearer ")) return line;
  if (const size_t colon = line.find(':'); colon != line.npos && colon > 0) return "Basic " + base64(line);
  if (!user.empty() && !line.empty() && line.find(' ') == line.npos) return "Basic " + base64(user + ":" + line);
  return Status(StatusCode::invalid_argument,
                "the first line must be \"ApiKey KEY\", \"Bearer TOKEN\" or \"USER:PASSWORD\"", path);
}

Result<std::string> authorization(const Url& url, const std::string& file) {
  if (!file.empty()) return from_file(file, url.user);
  if (const std::string key = from_environment("WENQU_REMOTE_API_KEY"); !key.empty()) return "ApiKey " + key;
  if (const std::string token = from_environment("WENQU_REMOTE_TOKEN"); !token.empty()) return "Bearer " + token;
  const std::string user = url.user.empty() ? from_environment("WENQU_REMOTE_USER") : url.user;
  const std::string password = from_environment("WENQU_REMOTE_PASSWORD");
  if (user.empty() && password.empty()) return std::string();
  if (user.empty())
    return Status(StatusCode::invalid_argument,
                  "there is a password, but no user: name it in the address or in WENQU_REMOTE_USER", url.to_string());
  if (password.empty())
    return Status(StatusCode::invalid_argument,
                  "there is a user, but no password: put it into WENQU_REMOTE_PASSWORD, or name a file of credentials",
                  url.to_string());
  return "Basic " + base64(user + ":" + password);
}

}  // namespace

Result<std::string> find_authorization(const Url& url, const std::string& file) {
  WENQU_ASSIGN_OR_RETURN(std::string value, authorization(url, file));
  if (!value.empty() && !url.tls && !url.is_loopback())
    return Status(StatusCode::invalid_argument, "credentials would be read by everybody on the way: use https://",
                  url.to_string());
  return value;
}

}  // namespace wenqu::retrieval
