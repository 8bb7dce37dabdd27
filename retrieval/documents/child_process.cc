#include "retrieval/documents/child_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <ctime>
#include <optional>

namespace wenqu::retrieval {
namespace {

using Clock = std::chrono::steady_clock;
constexpr int kPollMilliseconds = 50;
constexpr size_t kReadBytes = 64 << 10;

Status system_error(const char* doing) {
  return Status(StatusCode::io_error, std::string("cannot ") + doing + ": " + std::strerror(errno));
}

class Descriptor {
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  ~Descriptor() { close(); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  void set(int fd) {
    close();
    fd_ = fd;
  }
  void close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }

 private:
  int fd_;
};

// A started program: ended, if it has not ended itself, when this goes.
class Child {
 public:
  ~Child() {
    if (pid_ <= 0) return;
    // By descriptor: where the host collects all children itself, the number may be another process's by now.
    // (glibc 2.36 has no C++ linkage for these calls.)
    if (process_.get() < 0) (void)::kill(pid_, SIGKILL);   // a kernel before 5.3
    else (void)::syscall(SYS_pidfd_send_signal, process_.get(), SIGKILL, nullptr, 0);
    (void)wait();
  }

  Status start(const std::vector<std::string>& command, int input, int output, const ChildLimits& limits) {
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    if (posix_spawn_file_actions_init(&files) != 0) return Status(StatusCode::out_of_memory, "no memory to start a program");
    if (posix_spawnattr_init(&attributes) != 0) {
      posix_spawn_file_actions_destroy(&files);
      return Status(StatusCode::out_of_memory, "no memory to start a program");
    }
    posix_spawn_file_actions_adddup2(&files, input, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&files, output, STDOUT_FILENO);
    posix_spawn_file_actions_addopen(&files, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addclosefrom_np(&files, STDERR_FILENO + 1);   // what the host has open is not the child's
    // The host's blocked and ignored signals are not the child's. A group of its own keeps Ctrl-C from it.
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
    std::vector<char*> arguments;
    for (const std::string& argument : command) arguments.push_back(const_cast<char*>(argument.c_str()));
    arguments.push_back(nullptr);
    const char* path = ::getenv("PATH");
    std::string path_variable = std::string("PATH=") + (path ? path : "/usr/local/bin:/usr/bin:/bin");
    std::string locale = "LC_ALL=C.UTF-8";
    char* environment[] = {path_variable.data(), locale.data(), nullptr};
    const int error = posix_spawnp(&pid_, arguments[0], &files, &attributes, arguments.data(), environment);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    if (error != 0) {
      pid_ = -1;
      if (error == ENOENT) return Status(StatusCode::not_found, "there is no program of this name", command[0]);
      errno = error;
      return system_error(("start " + command[0]).c_str());
    }
    process_.set(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
    limit(limits);
    return {};
  }

  // Seconds of processor time that it has used.
  double used() const {
    clockid_t clock;
    timespec time{};
    if (clock_getcpuclockid(pid_, &clock) != 0 || clock_gettime(clock, &time) != 0) return 0;
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
  }

  // Its exit status; none where the host has taken it.
  std::optional<int> wait() {
    int status = 0;
    pid_t got;
    do got = ::waitpid(pid_, &status, 0);
    while (got < 0 && errno == EINTR);
    const bool ours = got == pid_;
    pid_ = -1;
    return ours ? std::optional<int>(status) : std::nullopt;
  }

 private:
  // From here on: what it has used until now is little.
  void limit(const ChildLimits& limits) const {
    const auto set = [&](__rlimit_resource what, uint64_t value) {
      const rlimit bound{value, value};
      (void)::prlimit(pid_, what, &bound, nullptr);
    };
#ifndef WENQU_SANITIZED
    set(RLIMIT_AS, limits.max_memory_bytes);
#endif
    set(RLIMIT_CPU, static_cast<uint64_t>(limits.total_seconds) + 1);
    set(RLIMIT_FSIZE, 0);
    set(RLIMIT_CORE, 0);
  }

  pid_t pid_ = -1;
  Descriptor process_;
};

Status read_output(const Child& child, int output, const ChildLimits& limits, const CancelToken& cancel, std::string& out) {
  const auto begun = Clock::now();
  double used_at_output = 0;
  for (;;) {
    WENQU_RETURN_IF_ERROR(cancel.status());
    if (std::chrono::duration<double>(Clock::now() - begun).count() > limits.total_seconds)
      return Status(StatusCode::limit_exceeded, "reading it took too long");
    pollfd ready{output, POLLIN, 0};
    const int count = ::poll(&ready, 1, kPollMilliseconds);
    if (count < 0 && errno != EINTR) return system_error("wait for a program");
    if (count <= 0) {
      if (child.used() - used_at_output > limits.silent_seconds)
        return Status(StatusCode::limit_exceeded, "reading it got nowhere");
      continue;
    }
    const size_t before = out.size();
    out.resize(before + kReadBytes);
    const ssize_t got = ::read(output, out.data() + before, kReadBytes);
    out.resize(before + static_cast<size_t>(got > 0 ? got : 0));
    if (got == 0) return {};
    if (got < 0 && errno != EINTR) return system_error("read a program's output");
    if (out.size() > limits.max_output_bytes) return Status(StatusCode::limit_exceeded, "it holds too much text");
    used_at_output = child.used();
  }
}

}  // namespace

Result<std::string> run_child(const std::vector<std::string>& command, int input, const ChildLimits& limits,
                              const CancelToken& cancel) {
  if (::lseek(input, 0, SEEK_SET) != 0) return system_error("read the file from its begin");
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return system_error("make a pipe");
  const Descriptor output(ends[0]);
  Descriptor child_end(ends[1]);
  Child child;
  WENQU_RETURN_IF_ERROR(child.start(command, input, child_end.get(), limits));
  child_end.close();
  std::string out;
  WENQU_RETURN_IF_ERROR(read_output(child, output.get(), limits, cancel, out));
  const std::optional<int> status = child.wait();
  if (status && WIFSIGNALED(*status))
    return Status(StatusCode::corrupt, std::string(command[0]) + " crashed or ran out of memory over it");
  if (status && WEXITSTATUS(*status) != 0)
    return Status(StatusCode::corrupt, std::string(command[0]) + " cannot read it (exit code " + std::to_string(WEXITSTATUS(*status)) + ")");
  return out;
}

}  // namespace wenqu::retrieval
