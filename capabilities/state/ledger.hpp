#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "capabilities/state/store.hpp"

namespace caisson::state {

/// The results of a batch as a ledger keeps them: per write the code's number, the text's length in
/// bytes and the text, "0 36:6f1c…".
std::string encode_results(const std::vector<WriteResult>& results);

/// Reads what encode_results() wrote; kDataLoss when it is something else.
Result<std::vector<WriteResult>> decode_results(std::string_view text);

inline bool has_identity(const RequestId& request) { return !(request == RequestId{}); }

/// The newest request of each slot that was given to a ledger, as its only writer remembers it: one that comes after
/// is not in the ledger, and needs no look into it. One thread. Forgetting costs that look and nothing else, so it is
/// bounded by beginning anew.
class NewestGenerations {
 public:
  /// True when the ledger cannot hold this request or a later one of its slot.
  [[nodiscard]] bool is_new(const RequestId& request) const;
  /// The ledger's entry of the slot is, or will be, this request's.
  void remember(const RequestId& request);

 private:
  static constexpr std::size_t kMost = 4096;
  struct Slot {
    std::uint64_t incarnation = 0;
    std::uint32_t slot = 0;
    bool operator==(const Slot&) const = default;
  };
  struct Hash {
    std::size_t operator()(const Slot& slot) const { return slot.incarnation ^ slot.slot * 0x9E3779B97F4A7C15ULL; }
  };
  std::unordered_map<Slot, std::uint64_t, Hash> generations_;
};

}  // namespace caisson::state
