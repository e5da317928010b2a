#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace caisson::redis {

enum class ReplyKind : std::uint8_t { kNil, kString, kStatus, kError, kInteger, kArray };

/// A server's reply (RESP2), owning all it holds.
struct Reply {
  ReplyKind kind = ReplyKind::kNil;
  std::string text;          // kString, kStatus, kError
  std::int64_t integer = 0;  // kInteger
  std::vector<Reply> items;  // kArray

  [[nodiscard]] bool is_nil() const { return kind == ReplyKind::kNil; }
  [[nodiscard]] bool is_error() const { return kind == ReplyKind::kError; }
  [[nodiscard]] bool is_text() const { return kind == ReplyKind::kString || kind == ReplyKind::kStatus; }
};

}  // namespace caisson::redis
