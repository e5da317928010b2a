#include "capabilities/invoke/capability.hpp"

#include "capabilities/invoke/dapr_http.hpp"
#include "capabilities/invoke/service.hpp"

namespace caisson::invoke {

namespace {

class InvokeCapability final : public sdk::Capability {
 public:
  explicit InvokeCapability(sdk::Context& context) : service_(context), http_(service_) {}

  void define(sdk::Definition& definition) override {
    http_.define(definition);
    definition.manifest().calls.emplace_back("app");
    // Invocations last as long as apps take to answer; idle ones cost little.
    definition.manifest().max_in_flight = 1024;
  }
  void start() override { service_.start(); }
  void configure(std::shared_ptr<const config::Generation> generation) override { service_.configure(*generation); }

 private:
  InvokeService service_;
  DaprHttp http_;
};

}  // namespace

std::unique_ptr<sdk::Capability> make_capability(sdk::Context& context) {
  return std::make_unique<InvokeCapability>(context);
}

}  // namespace caisson::invoke
