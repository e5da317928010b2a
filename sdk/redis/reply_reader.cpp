#include "sdk/redis/reply_reader.hpp"

#include <fmt/format.h>
#include <hiredis/read.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace caisson::redis {

/// What hiredis calls for each element it has parsed. An array's items are appended as they come, and room
/// is made for a few only: the count is only a claim. Pointers that hiredis keeps stay valid, because they are
/// to the last item of each level, and a level grows only when that item is complete.
struct ReplyReader::Builder {
  /// The fields of a hash that is a state, or of a stream's entry.
  static constexpr int kFewItems = 4;

  static Reply* add(const redisReadTask* task, ReplyKind kind) {
    auto& reader = *static_cast<ReplyReader*>(task->privdata);
    Reply* reply = &reader.root_;
    if (task->parent != nullptr) {
      if (++reader.items_ > kMaxItems) return nullptr;  // hiredis makes an error of it
      reply = &static_cast<Reply*>(task->parent->obj)->items.emplace_back();
    } else {
      reader.root_ = {};
    }
    reply->kind = kind;
    return reply;
  }

  static void* make_string(const redisReadTask* task, char* text, std::size_t size) {
    const ReplyKind kind = task->type == REDIS_REPLY_ERROR    ? ReplyKind::kError
                           : task->type == REDIS_REPLY_STATUS ? ReplyKind::kStatus
                                                              : ReplyKind::kString;
    Reply* const reply = add(task, kind);
    if (reply != nullptr) reply->text.assign(text, size);
    return reply;
  }
  static void* make_array(const redisReadTask* task, int count) {
    Reply* const reply = add(task, ReplyKind::kArray);
    if (reply != nullptr) reply->items.reserve(static_cast<std::size_t>(std::clamp(count, 0, kFewItems)));
    return reply;
  }
  static void* make_integer(const redisReadTask* task, long long number) {
    Reply* const reply = add(task, ReplyKind::kInteger);
    if (reply != nullptr) reply->integer = number;
    return reply;
  }
  static void* make_nil(const redisReadTask* task) { return add(task, ReplyKind::kNil); }
  static void free_object(void*) {}  // all belongs to root_

  static inline redisReplyObjectFunctions functions{make_string, make_array, make_integer, make_nil, free_object};
};

void ReplyReader::FreeReader::operator()(redisReader* reader) const { redisReaderFree(reader); }

ReplyReader::ReplyReader() : reader_(redisReaderCreateWithFunctions(&Builder::functions)) {
  if (reader_ == nullptr) std::abort();  // out of memory
  reader_->privdata = this;
  reader_->maxbuf = 64U << 10;
}

ReplyReader::~ReplyReader() = default;

void ReplyReader::feed(std::string_view bytes) {
  if (failed_) return;
  bytes_ += bytes.size();
  failed_ = redisReaderFeed(reader_.get(), bytes.data(), bytes.size()) != REDIS_OK;
}

Result<std::optional<Reply>> ReplyReader::next() {
  void* reply = nullptr;
  failed_ = failed_ || redisReaderGetReply(reader_.get(), &reply) != REDIS_OK;
  if (items_ > kMaxItems) return Error{Errc::kDataLoss, fmt::format("a reply has more than {} items", kMaxItems)};
  if (failed_) return Error{Errc::kDataLoss, fmt::format("not a Redis reply: {}", reader_->errstr)};
  const std::size_t left = reader_->len - reader_->pos;
  if (reply != nullptr) {
    bytes_ = left;
    items_ = 0;
    return std::optional<Reply>(std::move(root_));
  }
  if (bytes_ > kMaxBytes) {
    failed_ = true;
    return Error{Errc::kDataLoss, fmt::format("a reply is larger than {} bytes", kMaxBytes)};
  }
  // hiredis looks for a line's end from its beginning whenever bytes came.
  if (left > kMaxLine && std::memchr(reader_->buf + reader_->pos, '\n', kMaxLine) == nullptr) {
    failed_ = true;
    return Error{Errc::kDataLoss, "not a Redis reply: a line without an end"};
  }
  return std::optional<Reply>();
}

}  // namespace caisson::redis
