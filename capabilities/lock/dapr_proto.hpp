#pragma once

#include <string>

#include "bus/result.hpp"
#include "capabilities/lock/operation.hpp"

/// Messages of dapr/proto/runtime/v1/lock.proto. kInternal for bytes that are none, as gRPC servers answer.
namespace caisson::lock {

Result<TryLock> try_lock_of_message(const std::string& bytes);
Result<Unlock> unlock_of_message(const std::string& bytes);
std::string message_of_success(bool success);
std::string message_of_status(Unlocked status);

}  // namespace caisson::lock
