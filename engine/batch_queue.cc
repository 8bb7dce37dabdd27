#include "engine/batch_queue.h"

#include <algorithm>
#include <new>

namespace wenqu::engine {
namespace {

// A session that has decoded within this time is held to be going on.
constexpr std::chrono::seconds kGoingOn{1};
constexpr std::chrono::milliseconds kLook{10};   // how often one who waits for others looks at its cancellation
// Of a prompt, beside those who decode. A dense model reads its weights once for any piece; a mixture reads more experts
// for every token, so that only a short piece is read within the delay.
constexpr size_t kSmallestPiece = 4;

}  // namespace

Status BatchQueue::read(const ReadJob& job, const CancelToken& cancel, const Progress& progress) {
  if (job.sequence.tokens.empty()) return {};
  std::unique_lock lock(mutex_);
  const auto mine = waiting_.insert(waiting_.end(), Entry{&job, &cancel});
  changed_.notify_all();   // whoever gathers a batch may be waiting for this
  Status status;
  for (size_t told = 0;;) {
    if (!mine->running) {
      if (!mine->status || mine->rest() == 0) {
        status = mine->status;
        break;
      }
      if (!(status = cancel.status())) break;
      if (progress && told != mine->done) {
        told = mine->done;
        lock.unlock();
        progress(told);
        lock.lock();
        continue;
      }
    }
    if (leading_) changed_.wait_for(lock, kLook);
    else lead(lock);
  }
  waiting_.erase(mine);
  changed_.notify_all();
  return status;
}

void BatchQueue::leave(const void* session) {
  const std::lock_guard lock(mutex_);
  decoded_.erase(session);
  changed_.notify_all();
}

bool BatchQueue::others_decode(const void* session, Clock::duration within) const {
  const Clock::time_point since = Clock::now() - within;
  return std::any_of(decoded_.begin(), decoded_.end(), [&](const auto& other) { return other.first != session && other.second >= since; });
}

size_t BatchQueue::decoding() const {
  const std::lock_guard lock(mutex_);
  const Clock::time_point since = Clock::now() - kGoingOn;
  return static_cast<size_t>(std::count_if(decoded_.begin(), decoded_.end(), [&](const auto& session) { return session.second >= since; }));
}

// Waits a moment for sessions that have just decoded: they are choosing their next tokens.
void BatchQueue::gather(std::unique_lock<std::mutex>& lock) {
  const Clock::time_point now = Clock::now();
  const auto all_here = [&] {
    return std::all_of(decoded_.begin(), decoded_.end(), [&](const auto& other) {
      return other.second < now - limits_.gather ||
             std::any_of(waiting_.begin(), waiting_.end(), [&](const Entry& entry) { return entry.job->session == other.first && entry.rest() > 0; });
    });
  };
  changed_.wait_until(lock, now + limits_.gather, all_here);
}

std::vector<BatchQueue::Part> BatchQueue::compose() {
  std::vector<Part> parts;
  size_t room = limits_.tokens;
  const auto take = [&](Entry& entry, size_t count) {
    Sequence piece = entry.job->sequence;
    const bool ends = count == entry.rest();
    piece.tokens = piece.tokens.subspan(entry.done, count);
    piece.position += entry.done;
    if (!ends && piece.wanted == Sequence::Logits::last) piece.wanted = Sequence::Logits::none;
    parts.push_back({&entry, piece, piece.logits ? piece.logits->size() : 0});
    room -= count;
  };
  // Not what was read, or failed, and only has not left yet.
  const auto is_due = [](const Entry& entry) { return entry.rest() > 0 && entry.status && entry.cancel->status(); };
  bool anyone_decodes = false;
  for (Entry& entry : waiting_)
    if (is_due(entry) && entry.decodes(limits_) && entry.rest() <= room) take(entry, entry.rest()), anyone_decodes = true;
  std::vector<Entry*> served;
  for (Entry& entry : waiting_) {
    if (!is_due(entry) || entry.decodes(limits_)) continue;
    size_t piece = room;
    if (anyone_decodes || others_decode(entry.job->session, kGoingOn)) {
      // Before the first measurement, the smallest piece finds out.
      const double tokens = seconds_per_token_ > 0 ? std::chrono::duration<double>(limits_.delay).count() / seconds_per_token_ : 0;
      const size_t bounded = std::max(kSmallestPiece, static_cast<size_t>(std::min(tokens, static_cast<double>(limits_.tokens))));
      size_t taken = 0;
      for (const Part& part : parts)
        if (!part.entry->decodes(limits_)) taken += part.sequence.tokens.size();
      piece = std::min(room, bounded - std::min(bounded, taken));
    }
    piece = std::min(piece, entry.rest());
    if (piece == 0) break;
    take(entry, piece);
    served.push_back(&entry);
  }
  // Those who were served stand behind those who were not.
  for (Entry* entry : served) {
    const auto place = std::find_if(waiting_.begin(), waiting_.end(), [&](const Entry& other) { return &other == entry; });
    waiting_.splice(waiting_.end(), waiting_, place);
  }
  return parts;
}

Status BatchQueue::run_one(std::span<const Sequence> batch, const CancelToken& cancel) {
  try {
    return run_(batch, cancel);
  } catch (const std::bad_alloc&) {
    return Status(StatusCode::out_of_memory, "not enough memory for the next tokens: use a smaller context");
  }
}

void BatchQueue::run(std::span<const Part> parts, std::span<const Sequence> batch) {
  if (parts.size() == 1) {
    parts[0].entry->status = run_one(batch, *parts[0].entry->cancel);
    return;
  }
  const Status together = run_one(batch, {});
  for (size_t i = 0; i < parts.size(); ++i) {
    Entry& entry = *parts[i].entry;
    entry.status = together;
    if (together.code() != StatusCode::out_of_memory) continue;
    // Together they were too much; each is tried alone, so that only what does not fit by itself fails.
    if (batch[i].logits) batch[i].logits->resize(parts[i].logits);
    entry.status = run_one(batch.subspan(i, 1), *entry.cancel);
  }
}

void BatchQueue::lead(std::unique_lock<std::mutex>& lock) {
  leading_ = true;
  std::vector<Part> parts;
  std::vector<Sequence> batch;
  try {
    gather(lock);
    parts = compose();
    for (const Part& part : parts) {
      batch.push_back(part.sequence);
      if (part.entry->decodes(limits_)) decoded_.try_emplace(part.entry->job->session);
    }
  } catch (const std::bad_alloc&) {
    parts.clear();
    for (Entry& entry : waiting_) entry.status = Status(StatusCode::out_of_memory, "not enough memory to form a batch");
  }
  for (const Part& part : parts) part.entry->running = true;
  lock.unlock();
  const Clock::time_point begun = Clock::now();
  if (!parts.empty()) run(parts, batch);
  const double seconds = std::chrono::duration<double>(Clock::now() - begun).count();
  lock.lock();
  size_t tokens = 0;
  bool reads_prompt = false;
  for (const Part& part : parts) {
    part.entry->running = false;
    reads_prompt |= !part.entry->decodes(limits_);
    tokens += part.sequence.tokens.size();
    if (!part.entry->status) continue;
    part.entry->done += part.sequence.tokens.size();
    if (const auto known = decoded_.find(part.entry->job->session); known != decoded_.end()) known->second = Clock::now();
  }
  if (reads_prompt && tokens >= kSmallestPiece) {
    const double measured = seconds / static_cast<double>(tokens);
    seconds_per_token_ = seconds_per_token_ > 0 ? 0.5 * seconds_per_token_ + 0.5 * measured : measured;
  }
  leading_ = false;
  changed_.notify_all();
}

}  // namespace wenqu::engine
