// The threads that compute answers, so that network threads never do. Clients are served in turn: after a job of one's, one of
// each other's that waits.
//
// Thread safety: all members may be called from any thread; stop() from one at a time, and not from
// inside a job.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <list>
#include <mutex>
#include <thread>
#include <vector>

#include "base/status.h"

namespace wenqu::net {

class WorkerPool {
 public:
  using Job = std::function<void()>;   // must not throw

  WorkerPool(size_t threads, size_t max_waiting, size_t max_aside = 0)
      : max_waiting_(max_waiting), max_aside_(max_aside), wanted_threads_(threads) {}
  ~WorkerPool() { stop(); }

  // Errors: io_error when the system gives no threads.
  Status start();
  // `client`: whose job it is; `key`: under which it can be dropped. Errors: busy when as many jobs wait as may, or the pool is
  // stopped.
  Status submit(Job job, const void* client = nullptr, const void* key = nullptr);
  // For a job that ends to hand on to its successor: it takes over the job's place, so there is no limit.
  void succeed(Job job, const void* client = nullptr, const void* key = nullptr);
  // Drops the job if it still waits; false: it does not.
  bool drop(const void* key);
  // Drops the jobs that wait and joins the threads when the running ones have ended.
  void stop();

  // Held by a job while it waits for its client: a further thread serves the other clients meanwhile. This client's jobs are not
  // begun, as they would only come to wait with it.
  class Aside {
   public:
    Aside(WorkerPool& pool, const void* client) : pool_(pool), client_(client), granted_(pool.step_aside(client)) {}
    ~Aside() {
      if (granted_) pool_.step_back(client_);
    }
    Aside(const Aside&) = delete;
    Aside& operator=(const Aside&) = delete;
    // False: as many stand aside as may, and the job keeps its thread from the others.
    bool granted() const { return granted_; }

   private:
    WorkerPool& pool_;
    const void* const client_;
    const bool granted_;
  };

 private:
  struct Waiting {
    Job job;
    const void* key;
  };
  struct Client {
    const void* id;
    std::deque<Waiting> jobs;   // never empty
  };

  void work();
  void queue(Job job, const void* client, const void* key);
  bool take(Job& job);
  bool stands_aside(const void* client) const;
  bool step_aside(const void* client);
  void step_back(const void* client);

  const size_t max_waiting_, max_aside_;
  const size_t wanted_threads_;   // that run at once; those that stand aside do not count
  std::mutex mutex_;
  std::condition_variable changed_;
  std::list<Client> clients_;          // whose jobs wait; the first is next
  std::vector<const void*> aside_;     // the client of each job that stands aside
  size_t running_ = 0;
  bool stopped_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace wenqu::net
