#pragma once

#include <map>
#include <string>
#include <string_view>

#include "bus/deadline.hpp"
#include "bus/result.hpp"
#include "bus/task.hpp"
#include "sdk/component_set.hpp"

namespace caisson::secrets {

/// One secret: its keys and their values. Most have one key, named as the secret.
using Secret = std::map<std::string, std::string>;
/// Secrets by name.
using Secrets = std::map<std::string, Secret>;

/// Overwrites the bytes before the string gives its memory back.
void wipe(std::string& text);
void wipe(Secret& secret);
void wipe(Secrets& secrets);

/// Where secrets are kept. Each backend is one implementation.
///
/// Used only on the event loop's thread. Values go to the caller and nowhere else: an error names
/// the secret, never what is in it. Any call may fail with kUnavailable or kDeadlineExceeded.
class SecretStore : public sdk::Component {
 public:
  /// kNotFound, naming the secret, when there is none of that name.
  virtual Task<Result<Secret>> get(std::string name, Deadline deadline) = 0;
  virtual Task<Result<Secrets>> get_all(Deadline deadline) = 0;
};

}  // namespace caisson::secrets
