#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "bus/result.hpp"

namespace caisson::sdk {

/// A regular expression that is matched in time proportional to pattern times text, whatever both
/// are: a set of states is stepped through the text, nothing is tried twice. Bytes, not characters:
/// a class or '.' takes one byte, except that '.' and negated classes take a whole UTF-8 character.
///
/// Literals, ., [a-z], [^…], \d \D \w \W \s \S, \t \n \r \f \v, \xHH, ^ $ \A \z \b \B,
/// (…), (?:…), (?i) at the front, |, * + ? {m,n}, also their lazy forms (the answer is the same).
class Regex {
 public:
  static constexpr std::size_t kMaxPattern = 1024;
  static constexpr std::size_t kMaxStates = 4096;

  /// kInvalidArgument says what is wrong with the pattern.
  static Result<Regex> parse(std::string_view pattern);

  /// True when the pattern matches anywhere in the text.
  [[nodiscard]] bool found_in(std::string_view text) const;
  /// States of the automaton; the cost of a match is at most this for each byte.
  [[nodiscard]] std::size_t states() const;

  struct Program;

 private:
  explicit Regex(std::shared_ptr<const Program> program) : program_(std::move(program)) {}
  std::shared_ptr<const Program> program_;
};

}  // namespace caisson::sdk
