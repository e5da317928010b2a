#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "bus/result.hpp"
#include "config-cache/documents.hpp"

namespace caisson::invoke {

/// Who calls, as the runtime knows it: the gateway says which app a request came from.
struct CallerIdentity {
  std::string_view app;
  std::string_view app_namespace;
};

/// The access control list of a Configuration (`spec.accessControl`): which app may call which method of
/// this runtime's apps. Without one everything is allowed. One thread.
///
/// Callers belong to the list's own trust domain (`public` where it names none), as they do in Dapr when
/// all sidecars have one Configuration.
class AccessControl {
 public:
  AccessControl() = default;
  explicit AccessControl(const config::Configuration& configuration);

  /// kPermissionDenied names the caller, the method and the verb. `method` with or without a leading '/';
  /// letter case does not count for HTTP. `verb` is HTTP's, of an HTTP callee; it does not count for gRPC.
  [[nodiscard]] Result<void> check(const CallerIdentity& caller, std::string_view method, std::string_view verb,
                                   bool rpc) const;

 private:
  struct Operation {
    std::vector<std::string> segments;        // of a gRPC method
    std::vector<std::string> lower_segments;  // of an HTTP path
    std::vector<std::string> verbs;
    bool allow = false;
  };
  struct Policy {
    std::string trust_domain;
    std::string default_action;
    std::vector<Operation> operations;
  };
  [[nodiscard]] bool allows(const CallerIdentity& caller, std::string_view method, std::string_view verb,
                            bool rpc) const;

  bool empty_ = true;
  bool allow_by_default_ = true;
  std::string trust_domain_;
  std::map<std::pair<std::string, std::string>, Policy> policies_;  // by app and namespace; the last wins
};

}  // namespace caisson::invoke
