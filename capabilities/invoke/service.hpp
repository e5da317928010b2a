#pragma once

#include <optional>
#include <string>

#include "bus/result.hpp"
#include "bus/task_scope.hpp"
#include "capabilities/invoke/invocation.hpp"
#include "sdk/capability.hpp"
#include "sdk/resiliency.hpp"

namespace caisson::invoke {

/// Carries invocations to the apps of this runtime, under the policies in force. One thread.
class InvokeService {
 public:
  /// A body up to here is kept while a retry may need it again; a longer one is sent once.
  static constexpr std::size_t kMaxKeptBody = std::size_t{4} << 20;

  explicit InvokeService(sdk::Context& context);

  void start();
  void configure(const config::Generation& generation);

  /// Calls the app and passes its answer to the asker. An error: nothing has been answered.
  Task<Result<void>> carry(sdk::Request& request, const Invocation& invocation);

 private:
  /// The call as every attempt sends it.
  struct Outgoing;
  /// Counts a call in its place while it waits for an app that cannot be reached.
  class Waiting;

  [[nodiscard]] std::optional<std::string> local_app(const std::string& id) const;
  [[nodiscard]] sdk::Policy policy_for(const std::string& caller, const std::string& target, const std::string& method);
  Task<Result<void>> carry_under(sdk::Request& request, const Outgoing& outgoing, const sdk::Policy& policy);
  Task<Result<void>> carry_whole(sdk::Request& request, const Outgoing& outgoing, const sdk::Policy& policy,
                                 std::string body);
  Task<Result<void>> carry_streamed(sdk::Request& request, const Outgoing& outgoing, const sdk::Policy& policy);
  Task<Result<Reply>> open_and_wait(sdk::Request& request, const Outgoing& outgoing, TaskScope& scope,
                                    std::optional<OpenCall>& open, Deadline deadline);
  void show_breakers();

  sdk::Context& context_;
  std::string own_namespace_;
  sdk::Resiliency resiliency_;
  std::size_t waiting_ = 0;
  sdk::Counter invocations_;
  sdk::Counter attempts_;
  sdk::Counter failures_;
  sdk::Counter streamed_;
  sdk::Counter breakers_not_closed_;
};

}  // namespace caisson::invoke
