#pragma once

#include <cstdint>
#include <string>

/// What the lock capability can do, whatever API asked for it: a codec makes one of these of a request,
/// capabilities/lock/service.hpp carries it out.
namespace caisson::lock {

/// Takes the lock unless somebody holds it, the same owner included: locks are not reentrant.
struct TryLock {
  std::string store;
  std::string resource;
  std::string owner;
  std::int32_t expiry_seconds = 0;
};

struct Unlock {
  std::string store;
  std::string resource;
  std::string owner;
};

/// What became of an Unlock. The numbers are those of Dapr's API.
enum class Unlocked : std::uint8_t { kDone = 0, kDoesNotExist = 1, kBelongsToOthers = 2 };

}  // namespace caisson::lock
