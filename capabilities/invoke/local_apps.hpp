#pragma once

#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "net/http1_client.hpp"
#include "sdk/capability.hpp"

namespace caisson::invoke {

/// The apps of this runtime that may be called from here, without two more hops through the gateway: in
/// the same network namespace, over HTTP/1.1, with nothing that the gateway would have to add or to count
/// (AppState::address). Keeps the connections. One thread.
class LocalApps {
 public:
  explicit LocalApps(sdk::Context& context) : context_(context) {}

  /// Null: call it through the gateway, which also knows in what words to say why an app is not there.
  /// Calls under way may outlive what this points to; it is good until the loop's next turn.
  [[nodiscard]] net::Http1Client* way_to(const std::string& app);
  /// Lets its connections go.
  void forget(const std::string& app) { ways_.erase(app); }

 private:
  struct Way {
    Way(EventLoop& loop, std::string at, net::Endpoint endpoint)
        : address(std::move(at)), client(loop, std::move(endpoint), net::Http1Client::Options()) {}

    std::string address;
    net::Http1Client client;
  };

  sdk::Context& context_;
  std::map<std::string, Way, std::less<>> ways_;
};

}  // namespace caisson::invoke
