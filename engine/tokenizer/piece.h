// Prompts are lists of pieces, and the kind of a piece decides whether control tokens may come of
// it. Only literals of a chat template are `control`. What users, documents or the model wrote is
// `text` and never becomes a control token, whatever it spells: that is what makes prompt injection
// through control tokens impossible, instead of unlikely.
#pragma once

#include <string>
#include <vector>

namespace wenqu::engine {

struct Piece {
  enum class Kind { control, text };
  Kind kind = Kind::text;
  std::string text;

  static Piece control(std::string text) { return {Kind::control, std::move(text)}; }
  static Piece plain(std::string text) { return {Kind::text, std::move(text)}; }
  bool operator==(const Piece&) const = default;
};

}  // namespace wenqu::engine
