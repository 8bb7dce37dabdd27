// wq_search_models as the searches know it.
#pragma once

#include "base/status.h"
#include "retrieval/index.h"
#include "wenqu/wenqu.h"

namespace wenqu::capi {

// nullptr: no models. Errors: those of load_search_models(); struct_size; invalid_argument.
Result<retrieval::IndexModels> search_models(const wq_search_models* given);

}  // namespace wenqu::capi
