// wq_search_models as the searches know it.
#pragma once

#include <string>

#include "base/status.h"
#include "retrieval/index.h"
#include "wenqu/wenqu.h"

namespace wenqu::capi {

struct SearchModels {
  retrieval::IndexModels models;
  bool answering_model_ranks = false;   // rerank_path names the model that answers, which is not loaded here
};

// nullptr: no models. `answering_path`: of the model that answers; may be empty. Errors: those of load_search_models();
// struct_size; invalid_argument.
Result<SearchModels> search_models(const wq_search_models* given, const std::string& answering_path = {});

}  // namespace wenqu::capi
