#include "engine/batch_queue.h"

#include <algorithm>
#include <new>

namespace wenqu::engine {
namespace {

// A session that has decoded within this time is held to be going on.
constexpr std::chrono::seconds kGoingOn{1};
constexpr std::chrono::milliseconds kLook{10};   // how often one who waits for others looks at its cancellation
// Of a prompt, beside those who decode: what a machine can read within the delay that is slow, or waits for its disk.
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
        mine->away = true;
        lock.unlock();
        progress(told);
        lock.lock();
        mine->away = false;
        continue;
      }
    }
    if (leading_ || !may_lead(*mine)) changed_.wait_for(lock, kLook);
    else lead(lock, *mine);
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

// Whose piece is the next batch, where it lets others in.
const BatchQueue::Entry* BatchQueue::next_prompt() const {
  if (limits_.layers == 1) return nullptr;
  const auto prompt = std::find_if(waiting_.begin(), waiting_.end(), [&](const Entry& entry) { return !entry.decodes(limits_) && !entry.away && entry.is_due(); });
  return prompt != waiting_.end() ? &*prompt : nullptr;
}

// A piece keeps the thread that runs it to its end: never that of a session which is let in and could go on.
bool BatchQueue::may_lead(const Entry& entry) const {
  const Entry* const prompt = next_prompt();
  return !prompt || prompt == &entry;
}

// Waits a moment for sessions that have just decoded: they are choosing their next tokens.
void BatchQueue::gather(std::unique_lock<std::mutex>& lock) {
  const Clock::time_point now = Clock::now();
  const auto all_here = [&] {
    return next_prompt() || std::all_of(decoded_.begin(), decoded_.end(), [&](const auto& other) {
      return other.second < now - limits_.gather ||
             std::any_of(waiting_.begin(), waiting_.end(), [&](const Entry& entry) { return entry.job->session == other.first && entry.rest() > 0; });
    });
  };
  changed_.wait_until(lock, now + limits_.gather, all_here);
}

void BatchQueue::take(Entry& entry, size_t count, std::vector<Part>& parts) {
  Sequence piece = entry.job->sequence;
  const bool ends = count == entry.rest();
  piece.tokens = piece.tokens.subspan(entry.done, count);
  piece.position += entry.done;
  if (!ends && piece.wanted == Sequence::Logits::last) piece.wanted = Sequence::Logits::none;
  parts.push_back({&entry, piece, piece.logits ? piece.logits->size() : 0, piece.top ? piece.top->size() : 0});
}

void BatchQueue::take_decoding(size_t room, std::vector<Part>& parts) {
  for (Entry& entry : waiting_) {
    if (!entry.decodes(limits_) || entry.rest() > room || !entry.is_due()) continue;
    room -= entry.rest();
    take(entry, entry.rest(), parts);
  }
}

// Behind those who decode, where they go together.
void BatchQueue::take_prompts(std::vector<Part>& parts) {
  size_t room = limits_.tokens;
  for (const Part& part : parts) room -= part.sequence.tokens.size();
  // Before the first measurement, the smallest piece finds out.
  const double within = std::chrono::duration<double>(delay()).count() * static_cast<double>(limits_.layers);
  const double tokens = seconds_per_token_ > 0 ? within / seconds_per_token_ : 0;
  const size_t bounded = std::max(kSmallestPiece, static_cast<size_t>(std::min(tokens, static_cast<double>(limits_.tokens))));
  const bool anyone_decodes = !parts.empty();
  size_t taken = 0;
  std::vector<Entry*> served;
  for (Entry& entry : waiting_) {
    if (entry.decodes(limits_) || !entry.is_due()) continue;
    const bool bound = anyone_decodes || others_decode(entry.job->session, kGoingOn);
    const size_t piece = std::min({entry.rest(), room - taken, bound ? bounded - std::min(bounded, taken) : room});
    if (piece == 0) break;
    take(entry, piece, parts);
    taken += piece;
    served.push_back(&entry);
  }
  // Those who were served stand behind those who were not.
  for (Entry* entry : served) {
    const auto place = std::find_if(waiting_.begin(), waiting_.end(), [&](const Entry& other) { return &other == entry; });
    waiting_.splice(waiting_.end(), waiting_, place);
  }
}

std::vector<BatchQueue::Part> BatchQueue::compose(const Entry& leader) {
  std::vector<Part> parts;
  const bool together = limits_.layers == 1;
  if (together || leader.decodes(limits_)) take_decoding(limits_.tokens, parts);
  if (together || !leader.decodes(limits_)) take_prompts(parts);
  return parts;
}

Status BatchQueue::run_one(std::span<const Sequence> batch, const CancelToken& cancel, const BeforeLayer& before_layer) {
  try {
    return run_(batch, cancel, before_layer);
  } catch (const std::bad_alloc&) {
    return Status(StatusCode::out_of_memory, "not enough memory for the next tokens: use a smaller context");
  }
}

void BatchQueue::run(std::span<const Part> parts, std::span<const Sequence> batch, const BeforeLayer& before_layer) {
  if (parts.size() == 1) {
    parts[0].entry->status = run_one(batch, *parts[0].entry->cancel, before_layer);
    return;
  }
  const Status together = run_one(batch, {}, before_layer);
  for (size_t i = 0; i < parts.size(); ++i) {
    Entry& entry = *parts[i].entry;
    entry.status = together;
    if (together.code() != StatusCode::out_of_memory) continue;
    // Together they were too much; each is tried alone, so that only what does not fit by itself fails.
    if (batch[i].logits) batch[i].logits->resize(parts[i].logits);
    if (batch[i].top) batch[i].top->resize(parts[i].top);
    entry.status = run_one(batch.subspan(i, 1), *entry.cancel, before_layer);
  }
}

// Runs the batch of the parts, without the lock. Throws std::bad_alloc before it has begun.
void BatchQueue::carry_out(std::unique_lock<std::mutex>& lock, std::span<const Part> parts, const BeforeLayer& before_layer) {
  std::vector<Sequence> batch;
  for (const Part& part : parts) {
    batch.push_back(part.sequence);
    if (part.entry->decodes(limits_)) decoded_.try_emplace(part.entry->job->session);
  }
  const bool all_decode = std::all_of(parts.begin(), parts.end(), [&](const Part& part) { return part.entry->decodes(limits_); });
  for (const Part& part : parts) part.entry->running = true;
  lock.unlock();
  const Clock::time_point begun = Clock::now();
  run(parts, batch, before_layer);
  lock.lock();
  const Clock::time_point now = Clock::now();
  if (all_decode) decode_time_ = decode_time_.count() > 0 ? (decode_time_ + (now - begun)) / 2 : now - begun;
  for (const Part& part : parts) {
    Entry& entry = *part.entry;
    entry.running = false;
    if (entry.decodes(limits_)) last_decoded_ = now;
    if (!entry.status) continue;
    entry.done += part.sequence.tokens.size();
    if (const auto known = decoded_.find(entry.job->session); known != decoded_.end()) known->second = now;
  }
  changed_.notify_all();
}

// Between two layers of a piece. Those who decode do not wait for the next layer when it would make them wait too long.
void BatchQueue::let_others_in(Piece& piece) {
  const Clock::time_point now = Clock::now();
  piece.longest_layer = std::max(piece.longest_layer, now - piece.layer_begun);
  piece.layer_begun = now;
  std::unique_lock lock(mutex_);
  if (now + piece.longest_layer < last_decoded_ + delay()) return;
  try {
    std::vector<Part> parts;
    take_decoding(limits_.urgent_tokens, parts);
    if (!parts.empty()) carry_out(lock, parts, {});
  } catch (const std::bad_alloc&) {
    return;   // behind the next layer there may be more
  }
  piece.layer_begun = Clock::now();
  piece.of_others += piece.layer_begun - now;
}

void BatchQueue::lead(std::unique_lock<std::mutex>& lock, const Entry& leader) {
  leading_ = true;
  try {
    if (limits_.layers == 1 || leader.decodes(limits_)) gather(lock);
    const std::vector<Part> parts = compose(leader);
    size_t tokens = 0, prompts = 0;
    for (const Part& part : parts) {
      tokens += part.sequence.tokens.size();
      if (!part.entry->decodes(limits_)) prompts += part.sequence.tokens.size();
    }
    const Clock::time_point begun = Clock::now();
    Piece piece{.layer_begun = begun};
    BeforeLayer before_layer;
    if (limits_.layers > 1 && prompts > 0) {
      const double expected = seconds_per_token_ * static_cast<double>(prompts) / static_cast<double>(limits_.layers);
      piece.longest_layer = std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(expected));
      before_layer = [this, &piece] { let_others_in(piece); };
    }
    if (!parts.empty()) carry_out(lock, parts, before_layer);
    const bool all_read = std::all_of(parts.begin(), parts.end(), [](const Part& part) { return bool(part.entry->status); });
    if (prompts >= kSmallestPiece && all_read) {
      const double measured = std::chrono::duration<double>(Clock::now() - begun - piece.of_others).count() / static_cast<double>(tokens);
      seconds_per_token_ = seconds_per_token_ > 0 ? 0.5 * seconds_per_token_ + 0.5 * measured : measured;
    }
  } catch (const std::bad_alloc&) {
    for (Entry& entry : waiting_) entry.status = Status(StatusCode::out_of_memory, "not enough memory to form a batch");
  }
  leading_ = false;
  changed_.notify_all();
}

}  // namespace wenqu::engine
