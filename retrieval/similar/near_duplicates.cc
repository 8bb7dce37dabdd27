#include "retrieval/similar/near_duplicates.h"

#include <algorithm>
#include <cstring>

#include "retrieval/similar/shingles.h"
#include "retrieval/store/coding.h"

namespace wenqu::retrieval {
namespace {

constexpr size_t kBands = 12;
constexpr size_t kBandBins = kSignatureBins / kBands;

uint64_t band_key(const Signature& signature, size_t band) {
  uint64_t key = band + 1;
  for (size_t i = 0; i < kBandBins; ++i) {
    key = (key ^ signature[band * kBandBins + i]) * 0x9FB21C651E98DF25u;
    key ^= key >> 29;
  }
  return key;
}

}  // namespace

std::optional<Signature> signature_of(std::string_view text) {
  const std::vector<uint64_t> shingles = shingles_of(text);
  if (shingles.empty()) return std::nullopt;
  constexpr uint32_t kEmpty = UINT32_MAX;
  Signature least;
  least.fill(kEmpty);
  for (uint64_t hash : shingles) {
    // The upper half says which bin, the lower one how small.
    const size_t bin = static_cast<size_t>(((hash >> 32) * kSignatureBins) >> 32);
    least[bin] = std::min(least[bin], std::min(static_cast<uint32_t>(hash), kEmpty - 1));
  }
  // A short text leaves bins empty: each takes over the next full one's, made its own by how far that is.
  Signature full = least;
  for (size_t bin = 0; bin < kSignatureBins; ++bin) {
    uint32_t steps = 0;
    while (least[(bin + steps) % kSignatureBins] == kEmpty) ++steps;
    if (steps > 0) full[bin] = least[(bin + steps) % kSignatureBins] + steps * 0x9E3779B1u;
  }
  return full;
}

double similarity(const Signature& a, const Signature& b) {
  size_t equal = 0;
  for (size_t i = 0; i < kSignatureBins; ++i) equal += a[i] == b[i];
  return static_cast<double>(equal) / kSignatureBins;
}

std::optional<std::string> NearDuplicates::find(const Signature& signature) const {
  const Entry* best = nullptr;
  double best_similarity = 0;
  for (size_t band = 0; band < kBands; ++band) {
    const auto [begin, end] = bands_.equal_range(band_key(signature, band));
    for (auto it = begin; it != end; ++it) {
      const Entry& entry = entries_[it->second];
      const double similar = similarity(signature, entry.signature);
      if (similar < kThreshold || similar < best_similarity) continue;
      if (similar == best_similarity && best && best->id <= entry.id) continue;
      best = &entry;
      best_similarity = similar;
    }
  }
  return best ? std::optional<std::string>(best->id) : std::nullopt;
}

void NearDuplicates::add(const std::string& id, const Signature& signature) {
  remove(id);
  uint32_t slot = static_cast<uint32_t>(entries_.size());
  if (free_.empty()) {
    entries_.emplace_back();
  } else {
    slot = free_.back();
    free_.pop_back();
  }
  entries_[slot] = {id, signature};
  slots_[id] = slot;
  link(slot);
}

void NearDuplicates::remove(const std::string& id) {
  const auto found = slots_.find(id);
  if (found == slots_.end()) return;
  unlink(found->second);
  entries_[found->second].id.clear();
  free_.push_back(found->second);
  slots_.erase(found);
}

void NearDuplicates::link(uint32_t slot) {
  for (size_t band = 0; band < kBands; ++band) bands_.emplace(band_key(entries_[slot].signature, band), slot);
}

void NearDuplicates::unlink(uint32_t slot) {
  for (size_t band = 0; band < kBands; ++band) {
    const auto [begin, end] = bands_.equal_range(band_key(entries_[slot].signature, band));
    const auto link = std::find_if(begin, end, [&](const auto& entry) { return entry.second == slot; });
    if (link != end) bands_.erase(link);
  }
}

std::string NearDuplicates::encode() const {
  std::string out;
  put_number(out, slots_.size());
  for (const Entry& entry : entries_) {
    if (entry.id.empty()) continue;
    put_string(out, entry.id);
    for (uint32_t bin : entry.signature) put_number(out, bin);
  }
  return out;
}

bool NearDuplicates::decode(std::string_view bytes) {
  NearDuplicates read;
  Decoder in(bytes);
  for (uint64_t left = in.number(); left > 0 && !in.failed(); --left) {
    const std::string id = in.string();
    Signature signature;
    for (uint32_t& bin : signature) bin = in.small_number();
    if (!in.failed() && !id.empty()) read.add(id, signature);
  }
  if (!in.finished()) return false;
  *this = std::move(read);
  return true;
}

}  // namespace wenqu::retrieval
