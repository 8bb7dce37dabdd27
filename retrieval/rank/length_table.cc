#include "retrieval/rank/length_table.h"

#include "retrieval/index/length_code.h"

namespace wenqu::retrieval {

LengthTable length_table(const Snapshot& snapshot, const RankingParameters& ranking, TermField field) {
  const Bm25Parameters& parameters = bm25_parameters(ranking, field);
  LengthTable table{};
  for (size_t code = 0; code < table.size(); ++code)
    table[code] = static_cast<float>(parameters.k1 * (1 - parameters.b +
                                                      parameters.b * decode_length(static_cast<uint8_t>(code)) /
                                                          snapshot.average_length(field)));
  return table;
}

}  // namespace wenqu::retrieval
