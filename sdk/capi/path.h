// Where an index lies, for as long as its handle lives.
#pragma once

#include <filesystem>
#include <string>
#include <system_error>

#include "base/http/url.h"
#include "base/status.h"

namespace wenqu::capi {

// The absolute path of an index's directory, as its files are opened again and again and the host may change its working
// directory meanwhile; the address of a cluster's index stays as it is. Errors: io_error.
inline Result<std::string> lasting_place(const std::string& directory) {
  if (directory.empty() || looks_like_url(directory)) return directory;
  std::error_code error;
  std::string path = std::filesystem::absolute(directory, error).string();
  if (error) return Status(StatusCode::io_error, "cannot tell the working directory: " + error.message(), directory);
  return path;
}

}  // namespace wenqu::capi
