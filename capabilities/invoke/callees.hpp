#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "bus/result.hpp"
#include "capabilities/invoke/access_control.hpp"
#include "capabilities/invoke/external_endpoints.hpp"
#include "sdk/capability.hpp"
#include "sdk/resiliency.hpp"

namespace caisson::invoke {

/// One that can be invoked.
struct Callee {
  enum class Kind : std::uint8_t { kHttpApp, kRpcApp, kExternal };

  Kind kind = Kind::kHttpApp;
  /// The app's id without its namespace, or the endpoint's name or URL.
  std::string name;
  std::shared_ptr<ExternalEndpoint> endpoint;  // kExternal
};

/// Who can be invoked, by whom, and under which policy; for all APIs of this capability. One thread.
class Callees {
 public:
  explicit Callees(sdk::Context& context);

  void start();
  void configure(const config::Generation& generation);

  /// An app of this runtime, a document's name, or a URL. kNotFound: none of them; kInvalidArgument: a URL
  /// that cannot be called.
  Result<Callee> find(const std::string& id, const std::string& caller);
  /// Whether the access control list lets `caller` call the method; kPermissionDenied if not. `verb` is
  /// HTTP's, or empty.
  [[nodiscard]] Result<void> check_access(std::string_view caller, const Callee& callee, std::string_view method,
                                          std::string_view verb) const;
  /// `method` as policies and breakers tell methods apart.
  [[nodiscard]] sdk::Policy policy_for(const std::string& caller, const Callee& callee, const std::string& method);

  /// Counts a call in its place while it waits for an app that cannot be reached.
  class Waiting {
   public:
    explicit Waiting(Callees& callees) : count_(callees.waiting_) {}
    Waiting(const Waiting&) = delete;
    Waiting& operator=(const Waiting&) = delete;
    ~Waiting() {
      if (counted_) --count_;
    }
    void begin() {
      if (!std::exchange(counted_, true)) ++count_;
    }

   private:
    std::size_t& count_;
    bool counted_ = false;
  };

  [[nodiscard]] const std::string& own_namespace() const { return own_namespace_; }

  /// The counters of all invocations.
  void invocation_began() { invocations_.add(); }
  void attempt_began() { attempts_.add(); }
  void body_streamed() { streamed_.add(); }
  /// Where no answer could be given: `failed`.
  void invocation_ended(bool failed, const sdk::Policy& policy);

 private:
  [[nodiscard]] bool is_app(const std::string& id) const { return context_.apps().contains(id); }

  sdk::Context& context_;
  std::string own_namespace_;
  ExternalEndpoints endpoints_;
  AccessControl access_;
  sdk::Resiliency resiliency_;
  std::size_t waiting_ = 0;
  sdk::Counter invocations_;
  sdk::Counter attempts_;
  sdk::Counter failures_;
  sdk::Counter streamed_;
  sdk::Counter breakers_not_closed_;
};

/// What the outcome of an attempt that nothing answered means to policies.
sdk::Outcome outcome_of(const Error& error);

/// The headers that tell a callee of this runtime who called whom; they point into the arguments.
void add_identity(std::vector<Field>& headers, std::string_view caller, std::string_view own_namespace,
                  std::string_view callee);

}  // namespace caisson::invoke
