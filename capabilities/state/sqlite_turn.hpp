#pragma once

#include <string>

#include "bus/clock.hpp"
#include "bus/result.hpp"

namespace caisson::state {

/// Whose turn it is to write, among the processes that share a database. SQLite's own lock decides who may; it is
/// not fair, though: a process that commits group after group leaves it free for microseconds only, which one that
/// asks now and then hardly ever meets. Here who waits comes next: a process holds `next` until it has `turn`, so
/// the one that has just written stands behind it. A courtesy, bounded in time: after that one goes ahead.
///
/// Both are bytes of PATH.lock, locked as fcntl(2)'s open file description locks, which end with their process.
/// One thread, a blocking one.
class SqliteTurn {
 public:
  SqliteTurn() = default;
  SqliteTurn(SqliteTurn&& other) noexcept;
  SqliteTurn& operator=(SqliteTurn&& other) noexcept;
  ~SqliteTurn();

  static Result<SqliteTurn> open(const std::string& path);

  /// Waits for the turn, at most so long.
  void take(Nanos patience);
  void give_back();

 private:
  explicit SqliteTurn(int fd) : fd_(fd) {}
  int fd_ = -1;  // none: nobody to share with
};

}  // namespace caisson::state
