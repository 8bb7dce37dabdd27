// Where index tests work: in memory where there is such a place. They fsync by the thousand, which no test needs
// a real disk for and which would only wear one out.
#pragma once

#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <string>

namespace wenqu::retrieval {

// A new folder; empty when none can be made. The caller removes it.
inline std::string make_test_folder() {
  std::error_code error;
  const std::filesystem::path memory = "/dev/shm";
  const bool usable = std::filesystem::is_directory(memory, error) && ::access(memory.c_str(), W_OK) == 0;
  std::string pattern = ((usable ? memory : std::filesystem::temp_directory_path()) / "wenqu-index-XXXXXX").string();
  return ::mkdtemp(pattern.data()) ? pattern : std::string();
}

}  // namespace wenqu::retrieval
