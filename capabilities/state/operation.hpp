#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "bus/wire.hpp"

/// What the state capability can do, whatever API asked for it: a codec makes one of these of a
/// request, capabilities/state/service.hpp carries it out.
namespace caisson::state {

using Metadata = std::map<std::string, std::string>;

/// What a value is, because stores keep JSON as text and other bytes encoded.
enum class ValueForm : std::uint8_t { kJson, kBytes };

struct Get {
  std::string key;
  std::string consistency;  // eventual, strong or empty
  Metadata metadata;
};

enum class ChangeKind : std::uint8_t { kSet, kDelete };

/// One key set or deleted. The words of `concurrency` and `consistency` are checked by the service,
/// because a wrong one is an error of that item alone.
struct Change {
  ChangeKind kind = ChangeKind::kSet;
  std::string key;
  std::string value;
  ValueForm form = ValueForm::kJson;
  std::string etag;         // empty: none
  std::string concurrency;  // first-write, last-write or empty
  std::string consistency;  // eventual, strong or empty
  Metadata metadata;
};

/// Changes of one request. With `atomic`, all of them or none; otherwise each by itself.
struct Changes {
  RequestId request;
  bool atomic = false;
  std::vector<Change> items;
};

}  // namespace caisson::state
