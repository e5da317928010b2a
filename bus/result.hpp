#pragma once

#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "bus/errc.hpp"

namespace caisson {

/// Why a call failed: a code that a program branches on and a message that a person reads.
struct Error {
  Errc code = Errc::kUnknown;
  std::string message;
};

/// A value or an Error; spelled like std::expected, which this compiler set does not have yet.
/// Absence is not a failure: a lookup that finds nothing is a Result<std::optional<T>>.
template <class T>
class [[nodiscard]] Result {
 public:
  using value_type = T;

  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}
  /// Anything T can be made of, so that `return entry;` works for Result<optional<Entry>>.
  template <class U>
  requires(std::is_convertible_v<U&&, T> && !std::is_same_v<std::remove_cvref_t<U>, T> &&
           !std::is_same_v<std::remove_cvref_t<U>, Error> && !std::is_same_v<std::remove_cvref_t<U>, Result>)
      Result(U&& value)
      : state_(std::in_place_index<0>, std::forward<U>(value)) {}

  explicit operator bool() const { return state_.index() == 0; }
  [[nodiscard]] bool has_value() const { return state_.index() == 0; }

  T& operator*() & { return std::get<0>(state_); }
  const T& operator*() const& { return std::get<0>(state_); }
  T&& operator*() && { return std::get<0>(std::move(state_)); }
  T* operator->() { return &std::get<0>(state_); }
  const T* operator->() const { return &std::get<0>(state_); }

  Error& error() & { return std::get<1>(state_); }
  const Error& error() const& { return std::get<1>(state_); }
  Error&& error() && { return std::get<1>(std::move(state_)); }

 private:
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  using value_type = void;

  Result() = default;
  Result(Error error) : error_(std::move(error)) {}

  explicit operator bool() const { return !error_; }
  [[nodiscard]] bool has_value() const { return !error_; }

  Error& error() & { return *error_; }
  const Error& error() const& { return *error_; }
  Error&& error() && { return *std::move(error_); }

 private:
  std::optional<Error> error_;
};

/// Success of a Result<void>, readable at a return.
inline Result<void> ok() { return {}; }

}  // namespace caisson

#define CAISSON_JOIN_(a, b) a##b
#define CAISSON_JOIN(a, b) CAISSON_JOIN_(a, b)

/// TRY(expr): returns the error of a Result to the caller, else goes on. CO_TRY in a coroutine.
#define TRY(...)                                                   \
  do {                                                             \
    auto caisson_result = (__VA_ARGS__);                           \
    if (!caisson_result) return std::move(caisson_result).error(); \
  } while (false)
#define CO_TRY(...)                                                   \
  do {                                                                \
    auto caisson_result = (__VA_ARGS__);                              \
    if (!caisson_result) co_return std::move(caisson_result).error(); \
  } while (false)

/// ASSIGN(auto x, expr): the value of a Result, or returns its error. CO_ASSIGN in a coroutine.
#define ASSIGN(declaration, ...)                                                                                   \
  auto CAISSON_JOIN(caisson_result_, __LINE__) = (__VA_ARGS__);                                                    \
  if (!CAISSON_JOIN(caisson_result_, __LINE__)) return std::move(CAISSON_JOIN(caisson_result_, __LINE__)).error(); \
  declaration = *std::move(CAISSON_JOIN(caisson_result_, __LINE__))
#define CO_ASSIGN(declaration, ...)                                                                                   \
  auto CAISSON_JOIN(caisson_result_, __LINE__) = (__VA_ARGS__);                                                       \
  if (!CAISSON_JOIN(caisson_result_, __LINE__)) co_return std::move(CAISSON_JOIN(caisson_result_, __LINE__)).error(); \
  declaration = *std::move(CAISSON_JOIN(caisson_result_, __LINE__))
