// The attention of a layer on a device.
#pragma once

#include "engine/device/batch.h"
#include "engine/device/workplace.h"

namespace wenqu::engine::device {

// Grouped-query or multi-head latent attention of the normed states; its output is added to the states, and they are normed
// for the feed-forward. The tokens' keys and values go to the caches.
Status attention(const Workplace& w, const Batch& batch, size_t layer);

}  // namespace wenqu::engine::device
