#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "bus/result.hpp"

namespace caisson::sdk {

/// One number that only its own process writes. Adding costs a relaxed store.
class Counter {
 public:
  Counter() = default;
  void add(std::uint64_t amount = 1) {
    if (cell_ != nullptr) {
      cell_->store(cell_->load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);
    }
  }
  void set(std::uint64_t value) {
    if (cell_ != nullptr) cell_->store(value, std::memory_order_relaxed);
  }

 private:
  friend class Counters;
  explicit Counter(std::atomic<std::uint64_t>* cell) : cell_(cell) {}
  std::atomic<std::uint64_t>* cell_ = nullptr;
};

/// The process's counters: a fixed table in a file that only this process writes and that the
/// gateway reads at a scrape, also when this process hangs or is dead. One thread.
///
/// Layout (little-endian): 64-byte header {magic "CSNCTR1\0", u32 slots, u32 slot size 256}, then
/// slots of {u64 value, u8 kind (1 counter, 2 gauge), u8 name length, u16 label length, name, labels
/// as `key="value",…`}. A slot counts once its name length is not zero.
class Counters {
 public:
  static constexpr std::size_t kSlots = 512;

  /// Without a file: counters that nobody reads (tests, --print-manifest).
  Counters();
  ~Counters();
  Counters(const Counters&) = delete;
  Counters& operator=(const Counters&) = delete;

  /// Creates the file anew. Fails with kUnavailable naming the path.
  Result<void> open(const std::string& path);

  /// The counter `caisson_NAME` with these labels; the same arguments give the same counter. When
  /// the table is full (unbounded labels), a counter that leads nowhere.
  Counter counter(std::string_view name, std::string_view labels = {});
  Counter gauge(std::string_view name, std::string_view labels = {});

 private:
  struct Table;
  Counter find_or_add(std::uint8_t kind, std::string_view name, std::string_view labels);
  std::unique_ptr<Table> table_;
};

/// One number read from another process's table.
struct CounterValue {
  std::string name;
  std::string labels;
  bool is_gauge = false;
  std::uint64_t value = 0;
};

/// Reads a table file without mapping it (its owner may truncate it). Every length is checked.
Result<std::vector<CounterValue>> read_counters(const std::string& path);

}  // namespace caisson::sdk
