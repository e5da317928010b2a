#include "capabilities/invoke/capability.hpp"

#include "capabilities/invoke/callees.hpp"
#include "capabilities/invoke/dapr_grpc.hpp"
#include "capabilities/invoke/dapr_http.hpp"
#include "capabilities/invoke/rpc_proxy.hpp"
#include "capabilities/invoke/service.hpp"

namespace caisson::invoke {

namespace {

class InvokeCapability final : public sdk::Capability {
 public:
  explicit InvokeCapability(sdk::Context& context)
      : callees_(context),
        local_apps_(context),
        service_(context, callees_, local_apps_),
        http_(service_),
        grpc_(service_),
        proxy_(context, callees_) {}

  void define(sdk::Definition& definition) override {
    http_.define(definition);
    grpc_.define(definition);
    proxy_.define(definition);
    definition.manifest().calls = {"app", "secrets.resolve"};
    // Invocations last as long as apps take to answer; idle ones cost little.
    definition.manifest().max_in_flight = 1024;
  }
  void start() override { callees_.start(); }
  void configure(std::shared_ptr<const config::Generation> generation) override { callees_.configure(*generation); }
  void app_gone(const std::string& app) override { local_apps_.forget(app); }
  [[nodiscard]] std::string metadata() const override { return callees_.metadata(); }

 private:
  Callees callees_;
  LocalApps local_apps_;
  InvokeService service_;
  DaprHttp http_;
  DaprGrpc grpc_;
  RpcProxy proxy_;
};

}  // namespace

std::unique_ptr<sdk::Capability> make_capability(sdk::Context& context) {
  return std::make_unique<InvokeCapability>(context);
}

}  // namespace caisson::invoke
