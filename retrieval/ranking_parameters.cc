#include "retrieval/ranking_parameters.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include <fmt/format.h>
#include <rapidjson/document.h>
#include <rapidjson/error/en.h>
#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

#include "base/json_depth.h"

namespace wenqu::retrieval {
namespace {

constexpr size_t kMaxNesting = 8;
constexpr double kMaxWeight = 1e6;

struct NamedField {
  const char* name;
  Bm25Parameters RankingParameters::*member;
};
constexpr NamedField kFields[] = {
    {"unigram", &RankingParameters::unigram},
    {"bigram", &RankingParameters::bigram},
    {"word", &RankingParameters::word},
    {"dictionary_word", &RankingParameters::dictionary_word},
    {"pinyin", &RankingParameters::pinyin},
    {"title_word", &RankingParameters::title_word},
};

struct NamedNumber {
  const char* name;
  double RankingParameters::*member;
  double smallest, largest;
};
constexpr NamedNumber kNumbers[] = {
    {"synonyms", &RankingParameters::synonyms, 0, 1},
    {"document", &RankingParameters::document, 0, kMaxWeight},
    {"freshness", &RankingParameters::freshness, 0, kMaxWeight},
    {"freshness_half_life", &RankingParameters::freshness_half_life, 1e-3, 1e6},
};

struct NamedCount {
  const char* name;
  size_t RankingParameters::*member;
};
constexpr NamedCount kCounts[] = {{"rescored", &RankingParameters::rescored}, {"nearby", &RankingParameters::nearby}};
constexpr double kMaxCount = 10'000;

// By Signal.
constexpr const char* kSignalNames[kSignals] = {
    "unigram_held", "bigram_held", "word_held", "dictionary_word_held",
    "unigram_alone", "bigram_alone", "word_alone", "dictionary_word_alone",
    "neighbours", "narrow_window", "wide_window", "order", "length", "late", "same_title",
    "time", "number", "near_answer"};
constexpr double kMaxSignalWeight = 100;

constexpr Source kSources[] = {Source::official_account, Source::video, Source::web, Source::chat, Source::file};

Status invalid(std::string message, std::string where) {
  return Status(StatusCode::invalid_argument, std::move(message), std::move(where));
}

Status read_number(const rapidjson::Value& value, const std::string& name, double smallest, double largest, double& out) {
  if (!value.IsNumber() || !(value.GetDouble() >= smallest) || !(value.GetDouble() <= largest))
    return invalid(fmt::format("`{}` must be a number from {} to {}", name, smallest, largest), name);
  out = value.GetDouble();
  return {};
}

Status read_field(const rapidjson::Value& value, const std::string& name, Bm25Parameters& field) {
  if (!value.IsObject()) return invalid(fmt::format("`{}` must be an object with weight, k1, b and idf_power", name), name);
  for (const auto& member : value.GetObject()) {
    const std::string key = member.name.GetString();
    const std::string where = name + "." + key;
    if (key == "weight") WENQU_RETURN_IF_ERROR(read_number(member.value, where, 0, kMaxWeight, field.weight));
    else if (key == "k1") WENQU_RETURN_IF_ERROR(read_number(member.value, where, 0, 1000, field.k1));
    else if (key == "b") WENQU_RETURN_IF_ERROR(read_number(member.value, where, 0, 1, field.b));
    else if (key == "idf_power") WENQU_RETURN_IF_ERROR(read_number(member.value, where, 0, 4, field.idf_power));
    else return invalid("no such parameter: a field has weight, k1, b and idf_power", where);
  }
  return {};
}

Status read_priors(const rapidjson::Value& value, std::array<double, 5>& priors) {
  if (!value.IsObject()) return invalid("`source_priors` must be an object of source names", "source_priors");
  for (const auto& member : value.GetObject()) {
    const auto source = parse_source(member.name.GetString());
    const std::string where = std::string("source_priors.") + member.name.GetString();
    if (!source) return invalid("no such source: official_account, video, web, chat or file", where);
    WENQU_RETURN_IF_ERROR(read_number(member.value, where, 0, kMaxWeight, priors[static_cast<size_t>(*source)]));
  }
  return {};
}

Status read_signals(const rapidjson::Value& value, std::array<double, kSignals>& signals) {
  if (!value.IsObject()) return invalid("`signals` must be an object of signals' names", "signals");
  for (const auto& member : value.GetObject()) {
    const std::string where = std::string("signals.") + member.name.GetString();
    const auto* const name = std::find(std::begin(kSignalNames), std::end(kSignalNames), std::string_view(member.name.GetString()));
    if (name == std::end(kSignalNames)) return invalid("no such signal", where);
    WENQU_RETURN_IF_ERROR(read_number(member.value, where, -kMaxSignalWeight, kMaxSignalWeight, signals[static_cast<size_t>(name - kSignalNames)]));
  }
  return {};
}

Status read_member(const std::string& name, const rapidjson::Value& value, RankingParameters& parameters) {
  for (const NamedField& field : kFields)
    if (name == field.name) return read_field(value, name, parameters.*field.member);
  for (const NamedNumber& number : kNumbers)
    if (name == number.name)
      return read_number(value, name, number.smallest, number.largest, parameters.*number.member);
  if (name == "source_priors") return read_priors(value, parameters.source_priors);
  if (name == "signals") return read_signals(value, parameters.signals);
  for (const NamedCount& count : kCounts) {
    if (name != count.name) continue;
    double read = 0;
    WENQU_RETURN_IF_ERROR(read_number(value, name, 0, kMaxCount, read));
    parameters.*count.member = static_cast<size_t>(read);
    return {};
  }
  return invalid("no such parameter of the ranking", name);
}

}  // namespace

Result<RankingParameters> RankingParameters::parse(std::string_view json) {
  if (json_is_deeper(json, kMaxNesting)) return invalid("the parameters are nested too deeply", "ranking");
  rapidjson::Document document;
  document.Parse(json.data(), json.size());
  if (document.HasParseError())
    return invalid(fmt::format("not JSON: {} at byte {}", rapidjson::GetParseError_En(document.GetParseError()),
                               document.GetErrorOffset()), "ranking");
  if (!document.IsObject()) return invalid("the parameters must be a JSON object", "ranking");
  RankingParameters parameters;
  for (const auto& member : document.GetObject())
    WENQU_RETURN_IF_ERROR(read_member(member.name.GetString(), member.value, parameters));
  return parameters;
}

std::string RankingParameters::to_json() const {
  rapidjson::StringBuffer buffer;
  rapidjson::Writer<rapidjson::StringBuffer> writer(buffer);
  writer.SetMaxDecimalPlaces(6);
  writer.StartObject();
  for (const NamedField& named : kFields) {
    const Bm25Parameters& field = this->*named.member;
    writer.Key(named.name);
    writer.StartObject();
    writer.Key("weight"), writer.Double(field.weight);
    writer.Key("k1"), writer.Double(field.k1);
    writer.Key("b"), writer.Double(field.b);
    writer.Key("idf_power"), writer.Double(field.idf_power);
    writer.EndObject();
  }
  for (const NamedNumber& number : kNumbers) writer.Key(number.name), writer.Double(this->*number.member);
  for (const NamedCount& count : kCounts) writer.Key(count.name), writer.Uint64(this->*count.member);
  writer.Key("signals");
  writer.StartObject();
  for (size_t i = 0; i < kSignals; ++i) writer.Key(kSignalNames[i]), writer.Double(signals[i]);
  writer.EndObject();
  writer.Key("source_priors");
  writer.StartObject();
  for (const Source source : kSources)
    writer.Key(std::string(source_name(source)).c_str()), writer.Double(source_priors[static_cast<size_t>(source)]);
  writer.EndObject();
  writer.EndObject();
  return buffer.GetString();
}

}  // namespace wenqu::retrieval
