#pragma once

#include <string>

#include "bus/network_namespace.hpp"
#include "gateway/app_channel.hpp"
#include "gateway/instance.hpp"

/// APP frames, which tell a capability about an app (`app` of the envelope):
///   what is known: no target; headers reachable, healthy ("true" or "false"), incarnation
///     (decimal), protocol (empty: the app has no port); address ("127.0.0.1:8080", where it may be called
///     directly) and network (decimal, network_namespace(): what the address is an address of)
///   its answer to a query: target is the path; status (0: it could not be asked), header
///     incarnation, the body as payload
///   it is gone: no target, status 404
namespace caisson::gateway {

inline ControlFrame app_state_frame(const AppChannel& app) {
  const auto truth = [](bool value) { return std::string(value ? "true" : "false"); };
  ControlFrame frame;
  frame.kind = wire::Kind::App;
  frame.app = app.config().id;
  frame.headers = {{"reachable", truth(app.reachable())},
                   {"healthy", truth(app.healthy())},
                   {"incarnation", std::to_string(app.incarnation())},
                   {"protocol", app.has_port() ? app.config().app_protocol : std::string()}};
  if (std::string address = app.direct_address(); !address.empty()) {
    frame.headers.emplace_back("address", std::move(address));
    frame.headers.emplace_back("network", std::to_string(network_namespace()));
  }
  return frame;
}

inline ControlFrame app_answer_frame(const std::string& app, std::uint64_t incarnation, const std::string& path,
                                     std::uint16_t status, const std::string& body) {
  ControlFrame frame;
  frame.kind = wire::Kind::App;
  frame.app = app;
  frame.target = path;
  frame.status = status;
  frame.headers = {{"incarnation", std::to_string(incarnation)}};
  frame.payload = body;
  return frame;
}

inline ControlFrame app_gone_frame(const std::string& app) {
  ControlFrame frame;
  frame.kind = wire::Kind::App;
  frame.app = app;
  frame.status = 404;
  return frame;
}

}  // namespace caisson::gateway
