#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string_view>

#include "bus/result.hpp"
#include "sdk/redis/reply.hpp"

struct redisReader;
struct redisReadTask;

namespace caisson::redis {

/// Makes replies (RESP2) of a server's bytes. No I/O, and any bytes are safe: a reply that is larger
/// than the limits below, nested more than seven deep or no RESP at all is an error.
class ReplyReader {
 public:
  static constexpr std::size_t kMaxBytes = 64U << 20;
  static constexpr std::size_t kMaxItems = 1U << 20;
  /// A line ends within so many bytes: all but the body of a string is a line.
  static constexpr std::size_t kMaxLine = 64U << 10;

  ReplyReader();
  ReplyReader(const ReplyReader&) = delete;
  ReplyReader& operator=(const ReplyReader&) = delete;
  ~ReplyReader();

  /// Takes bytes, at best not more than 64 KiB at once.
  void feed(std::string_view bytes);
  /// The next complete reply; nothing when it needs more bytes. After an error (kDataLoss) the reader
  /// is of no more use.
  Result<std::optional<Reply>> next();

 private:
  struct Builder;
  struct FreeReader {
    void operator()(redisReader* reader) const;
  };

  std::unique_ptr<redisReader, FreeReader> reader_;
  Reply root_;
  std::size_t bytes_ = 0;  // fed since the last complete reply
  std::size_t items_ = 0;
  bool failed_ = false;
};

}  // namespace caisson::redis
