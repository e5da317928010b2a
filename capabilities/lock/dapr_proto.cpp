#include "capabilities/lock/dapr_proto.hpp"

#include <google/protobuf/stubs/logging.h>

#include "dapr/proto/runtime/v1/lock.pb.h"

namespace caisson::lock {

namespace {

namespace proto = dapr::proto::runtime::v1;

static_assert(static_cast<int>(Unlocked::kDone) == proto::UnlockResponse::SUCCESS);
static_assert(static_cast<int>(Unlocked::kDoesNotExist) == proto::UnlockResponse::LOCK_DOES_NOT_EXIST);
static_assert(static_cast<int>(Unlocked::kBelongsToOthers) == proto::UnlockResponse::LOCK_BELONGS_TO_OTHERS);

template <class Message>
Result<Message> parse(const std::string& bytes) {
  const google::protobuf::LogSilencer quiet;  // it writes a line to stderr for every text that is no UTF-8
  Message message;
  if (!message.ParseFromString(bytes)) {
    return Error{Errc::kInternal, "grpc: error unmarshalling request: the bytes are no " + message.GetTypeName()};
  }
  return message;
}

}  // namespace

Result<TryLock> try_lock_of_message(const std::string& bytes) {
  ASSIGN(auto message, parse<proto::TryLockRequest>(bytes));
  TryLock lock;
  lock.store = std::move(*message.mutable_store_name());
  lock.resource = std::move(*message.mutable_resource_id());
  lock.owner = std::move(*message.mutable_lock_owner());
  lock.expiry_seconds = message.expiry_in_seconds();
  return lock;
}

Result<Unlock> unlock_of_message(const std::string& bytes) {
  ASSIGN(auto message, parse<proto::UnlockRequest>(bytes));
  Unlock unlock;
  unlock.store = std::move(*message.mutable_store_name());
  unlock.resource = std::move(*message.mutable_resource_id());
  unlock.owner = std::move(*message.mutable_lock_owner());
  return unlock;
}

std::string message_of_success(bool success) {
  proto::TryLockResponse message;
  message.set_success(success);
  return message.SerializeAsString();
}

std::string message_of_status(Unlocked status) {
  proto::UnlockResponse message;
  message.set_status(static_cast<proto::UnlockResponse::Status>(status));
  return message.SerializeAsString();
}

}  // namespace caisson::lock
