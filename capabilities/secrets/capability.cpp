#include "capabilities/secrets/capability.hpp"

#include <sys/prctl.h>
#include <sys/resource.h>

#include "capabilities/secrets/dapr_grpc.hpp"
#include "capabilities/secrets/dapr_http.hpp"
#include "capabilities/secrets/service.hpp"
#include "sdk/sealed_secret.hpp"

namespace caisson::secrets {

namespace {

class SecretsCapability final : public sdk::Capability {
 public:
  explicit SecretsCapability(sdk::Context& context) : service_(context), http_(service_), grpc_(service_) {}

  void define(sdk::Definition& definition) override {
    http_.define(definition);
    grpc_.define(definition);
    definition.serve_call_stream("secrets.resolve",
                                 [this](sdk::Request request) { return resolve(std::move(request)); });
    // A secret store's own metadata may refer to a secret of another store.
    definition.manifest().calls.emplace_back("secrets.resolve");
  }
  void start() override { service_.start(); }
  void configure(std::shared_ptr<const config::Generation> generation) override { service_.configure(*generation); }
  [[nodiscard]] std::vector<sdk::ComponentStatus> components() const override { return service_.status(); }

 private:
  /// Headers store, name, key and seal-for; the answer's body is the value, sealed for the caller.
  Task<void> resolve(sdk::Request request) {
    const Deadline deadline = request.deadline();
    Result<std::string> value =
        co_await service_.resolve(std::string(request.header("store")), std::string(request.header("name")),
                                  std::string(request.header("key")), deadline);
    if (value) value = sdk::seal_secret(request.header("seal-for"), *value);
    if (!value) {
      Error error = std::move(value).error();
      [[maybe_unused]] const auto told = co_await request.incoming().reply_error(std::move(error));
      co_return;
    }
    sdk::Response response;
    response.body = Buffer(*std::move(value));
    [[maybe_unused]] const auto sent = co_await request.reply(std::move(response));
  }

  SecretService service_;
  DaprHttp http_;
  DaprGrpc grpc_;
};

}  // namespace

std::unique_ptr<sdk::Capability> make_capability(sdk::Context& context) {
  return std::make_unique<SecretsCapability>(context);
}

void forbid_dumps() {
  const rlimit none{0, 0};
  ::setrlimit(RLIMIT_CORE, &none);
  ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

}  // namespace caisson::secrets
