#pragma once

#include <memory>
#include <string>

#include "capabilities/invoke/callees.hpp"
#include "capabilities/invoke/replayed_body.hpp"
#include "sdk/capability.hpp"

namespace caisson::invoke {

/// gRPC methods that no capability serves, passed through to the app that the metadata `dapr-callee-app-id`
/// or `dapr-app-id` names: messages as they come, in both directions; metadata, trailers and status. One
/// thread.
class RpcProxy {
 public:
  RpcProxy(sdk::Context& context, Callees& callees) : context_(context), callees_(callees) {}

  void define(sdk::Definition& definition);

 private:
  struct Call;
  struct Answered;

  Task<void> serve(sdk::Request request);
  Task<Result<void>> carry(sdk::Request& request);
  Task<Result<void>> carry_under(sdk::Request& request, Call& call, const sdk::Policy& policy);
  Task<Result<std::shared_ptr<Answered>>> attempt(Call& call, Deadline deadline);
  Task<Result<void>> pass_on(sdk::Request& request, Call& call, Answered& answered);

  sdk::Context& context_;
  Callees& callees_;
};

}  // namespace caisson::invoke
