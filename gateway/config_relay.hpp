#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "bus/log.hpp"
#include "config-cache/documents.hpp"
#include "gateway/capability_links.hpp"

namespace caisson::gateway {

/// Keeps the newest configuration generation of every audience and hands it to whoever links, so
/// that a restarting capability has its configuration at once, its publisher alive or not. Carries
/// the audiences' answers back to the publisher. One thread.
///
/// Frames: a publisher sends CONFIG with the audience as target and the snapshot as payload. An
/// audience answers with CONFIG, status 200, headers `term` and `sequence`, and `error` where it
/// refused; publishers get that with the header `answer`. The gateway's own audience is "gateway".
class ConfigRelay {
 public:
  using InForce = std::function<void(const config::Generation&)>;

  /// `in_force`: a generation is kept and has been passed on; the gateway's own among them. `settled`:
  /// some time after the first generation of all came, when the rest must have come as well.
  ConfigRelay(EventLoop& loop, CapabilityLinks& links, InForce in_force, std::function<void()> settled);

  void on_frame(Instance& from, Frame frame);
  /// What an instance must have before any request.
  void send_to(Instance& instance) const;
  /// A generation for this audience is here, or none is to be expected any more.
  [[nodiscard]] bool served(std::string_view audience) const;

 private:
  struct Kept {
    std::uint64_t term = 0;
    std::uint64_t sequence = 0;
    std::shared_ptr<const Buffer> snapshot;
  };
  void publish(Instance& from, Frame frame);
  void confirm_own(const config::Generation& generation);
  void answer(Instance& from, const Frame& frame);
  void tell_publishers(const ControlFrame& frame) const;
  static ControlFrame config_frame(const std::string& audience, const Kept& kept);

  CapabilityLinks& links_;
  InForce in_force_;
  std::map<std::string, Kept, std::less<>> kept_;
  bool settled_ = false;
  Timer settle_;
  LogLimit log_;
};

}  // namespace caisson::gateway
