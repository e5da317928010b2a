#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "bus/result.hpp"
#include "capabilities/invoke/callees.hpp"
#include "capabilities/invoke/local_apps.hpp"
#include "capabilities/invoke/operation.hpp"
#include "sdk/capability.hpp"

namespace caisson::invoke {

/// Carries invocations to apps of this runtime, whether they speak HTTP or gRPC, and to servers outside it,
/// under the policies in force. One thread.
class InvokeService {
 public:
  /// A body up to here is kept while a retry may need it again; a longer one is sent once.
  static constexpr std::size_t kMaxKeptBody = std::size_t{4} << 20;

  InvokeService(sdk::Context& context, Callees& callees, LocalApps& local_apps)
      : context_(context), callees_(callees), local_apps_(local_apps) {}

  /// Calls the callee. `operation` lives as long as the answer. kNotFound: nobody of that name;
  /// kPermissionDenied: the access control list; else why there is no answer.
  Task<Result<Answer>> invoke(const Operation& operation);

 private:
  /// The call as every attempt sends it.
  struct Outgoing;

  Task<Result<Answer>> invoke_under(std::shared_ptr<Outgoing> outgoing, const sdk::Policy& policy);
  Task<Result<Answer>> attempt(std::shared_ptr<Outgoing> outgoing, Deadline deadline);
  Task<Result<Answer>> call_external(std::shared_ptr<Outgoing> outgoing, Deadline deadline);
  static Task<Result<Answer>> call_directly(net::Http1Client& way, std::shared_ptr<Outgoing> outgoing,
                                            Deadline deadline);
  Task<Result<Answer>> call_app(std::shared_ptr<Outgoing> outgoing, Deadline deadline);
  Task<Result<Answer>> call_app_streaming(std::shared_ptr<Outgoing> outgoing, Deadline deadline);

  sdk::Context& context_;
  Callees& callees_;
  LocalApps& local_apps_;
};

}  // namespace caisson::invoke
