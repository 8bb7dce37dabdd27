#include "sdk/net/worker_pool.h"

#include <fmt/format.h>

#include <algorithm>
#include <system_error>

#include "base/thread.h"

namespace wenqu::net {

Status WorkerPool::start() {
  try {
    threads_.reserve(wanted_threads_ + max_aside_);   // so that none is started without a place
    for (size_t i = 0; i < wanted_threads_; ++i) threads_.push_back(start_thread([this] { work(); }));
  } catch (const std::system_error& error) {
    stop();
    return Status(StatusCode::io_error, fmt::format("cannot start {} worker threads: {}", wanted_threads_, error.what()));
  }
  return {};
}

Status WorkerPool::submit(Job job, const void* client, const void* key) {
  {
    std::lock_guard lock(mutex_);
    if (stopped_) return Status(StatusCode::busy, "the server is stopping");
    // A job that an idle thread takes at once does not wait, and what waits for a client that does not read keeps nobody out.
    size_t waiting = 0;
    for (const Client& other : clients_) waiting += stands_aside(other.id) ? 0 : other.jobs.size();
    if (waiting + std::min(running_, wanted_threads_) >= max_waiting_ + wanted_threads_)
      return Status(StatusCode::busy, fmt::format("{} questions wait already: ask again later", max_waiting_));
    queue(std::move(job), client, key);
  }
  changed_.notify_one();
  return {};
}

void WorkerPool::succeed(Job job, const void* client, const void* key) {
  {
    std::lock_guard lock(mutex_);
    if (stopped_) return;
    queue(std::move(job), client, key);
  }
  changed_.notify_one();
}

bool WorkerPool::drop(const void* key) {
  Job dropped;   // destroyed with no lock held
  std::lock_guard lock(mutex_);
  for (auto client = clients_.begin(); client != clients_.end(); ++client) {
    const auto found = std::find_if(client->jobs.begin(), client->jobs.end(), [&](const Waiting& job) { return job.key == key; });
    if (found == client->jobs.end()) continue;
    dropped = std::move(found->job);
    client->jobs.erase(found);
    if (client->jobs.empty()) clients_.erase(client);
    return true;
  }
  return false;
}

void WorkerPool::stop() {
  std::list<Client> dropped;
  {
    std::lock_guard lock(mutex_);
    stopped_ = true;
    dropped.swap(clients_);
  }
  changed_.notify_all();
  dropped.clear();   // before the join: what runs may wait for what these hold
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

void WorkerPool::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    Job job;
    while (!stopped_ && !(running_ < wanted_threads_ && take(job))) changed_.wait(lock);
    if (stopped_) return;
    ++running_;
    lock.unlock();
    try {
      job();
    } catch (...) {   // a defect of the job's, which must not end the server
    }
    job = nullptr;
    lock.lock();
    --running_;
  }
}

void WorkerPool::queue(Job job, const void* client, const void* key) {
  const auto own = std::find_if(clients_.begin(), clients_.end(), [&](const Client& other) { return other.id == client; });
  if (own != clients_.end()) return own->jobs.push_back({std::move(job), key});
  std::list<Client> added;   // is among the others when it has its job: memory may be short
  added.push_back({client, {}});
  added.back().jobs.push_back({std::move(job), key});
  clients_.splice(clients_.end(), added);
}

bool WorkerPool::take(Job& job) {
  const auto next = std::find_if(clients_.begin(), clients_.end(), [&](const Client& client) { return !stands_aside(client.id); });
  if (next == clients_.end()) return false;
  job = std::move(next->jobs.front().job);
  next->jobs.pop_front();
  if (next->jobs.empty())
    clients_.erase(next);
  else
    clients_.splice(clients_.end(), clients_, next);
  return true;
}

bool WorkerPool::stands_aside(const void* client) const { return std::find(aside_.begin(), aside_.end(), client) != aside_.end(); }

bool WorkerPool::step_aside(const void* client) {
  {
    std::lock_guard lock(mutex_);
    if (stopped_ || aside_.size() >= max_aside_) return false;
    try {
      aside_.reserve(aside_.size() + 1);
      if (threads_.size() <= wanted_threads_ + aside_.size()) threads_.push_back(start_thread([this] { work(); }));
    } catch (const std::exception&) {   // no memory or no thread: this job keeps its own
      return false;
    }
    aside_.push_back(client);
    --running_;
  }
  changed_.notify_one();
  return true;
}

// It goes on at once, even if for a while one more runs than is wanted: its client has waited.
void WorkerPool::step_back(const void* client) {
  {
    std::lock_guard lock(mutex_);
    aside_.erase(std::find(aside_.begin(), aside_.end(), client));
    ++running_;
  }
  changed_.notify_all();   // of its jobs that waited several may begin
}

}  // namespace wenqu::net
