#include "gateway/config_relay.hpp"

#include <fmt/format.h>

#include <charconv>

#include "bus/sealed_memory.hpp"
#include "config-cache/generation.hpp"

namespace caisson::gateway {

namespace {

constexpr std::string_view kGateway = "gateway";
constexpr std::size_t kMostAudiences = 256;  // each may hold a descriptor
constexpr Nanos kSettleTime = std::chrono::milliseconds(250);

std::uint64_t number_of(std::string_view text) {
  std::uint64_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

}  // namespace

ConfigRelay::ConfigRelay(EventLoop& loop, CapabilityLinks& links, InForce in_force, std::function<void()> settled)
    : links_(links), in_force_(std::move(in_force)), settle_(loop, [this, settled = std::move(settled)] {
        settled_ = true;
        settled();
      }) {}

void ConfigRelay::on_frame(Instance& from, Frame frame) {
  if (frame->status() == 200) return answer(from, frame);
  if (!from.manifest().publishes_config) {
    log_.log(LogLevel::kWarning,
             fmt::format("{} published configuration, which its manifest does not grant", from.capability()));
    return;
  }
  publish(from, std::move(frame));
}

void ConfigRelay::publish(Instance& from, Frame frame) {
  const std::string audience(text(frame->target()));
  // Not the frame's own memory: its sender could still change that, and wants it back.
  const auto snapshot = std::make_shared<const Buffer>(another(std::move(frame).into_payload()));
  // Read here once, so that nothing damaged or misaddressed is kept or passed on.
  const Result<config::Generation> generation = config::decode(snapshot->view());
  if (!generation || generation->audience != audience || audience.empty()) {
    log_.log(LogLevel::kError, fmt::format("{}: a generation for '{}' was refused: {}", from.capability(), audience,
                                           generation ? "it is for another audience" : generation.error().message));
    return;
  }
  if (!kept_.contains(audience) && kept_.size() >= kMostAudiences) {
    log_.log(LogLevel::kError, "too many audiences: a generation is not kept");
    return;
  }
  Kept& kept = kept_[audience];
  const bool newer =
      generation->term != kept.term ? generation->term > kept.term : generation->sequence > kept.sequence;
  if (!newer && kept.snapshot != nullptr) return;
  kept = {generation->term, generation->sequence, snapshot};
  if (!settled_ && !settle_.started()) settle_.start_after(kSettleTime);
  const std::string process = process_of(audience);
  links_.for_each([&](Instance& instance) {
    if (instance.process() == process) instance.post(config_frame(audience, kept));
  });
  // Only now: a request that goes elsewhere from here on comes behind what its instance must know.
  in_force_(*generation);
  if (audience == kGateway) confirm_own(*generation);
}

void ConfigRelay::confirm_own(const config::Generation& generation) {
  ControlFrame told;
  told.kind = wire::Kind::Config;
  told.target = kGateway;
  told.status = 200;
  told.headers = {
      {"answer", "1"}, {"term", std::to_string(generation.term)}, {"sequence", std::to_string(generation.sequence)}};
  tell_publishers(told);
}

void ConfigRelay::answer(Instance& from, const Frame& frame) {
  const Fields headers = frame.headers();
  ControlFrame told;
  told.kind = wire::Kind::Config;
  told.target = audience_of(from.process());  // who it is, not who it says
  told.status = 200;
  told.error = errc_from_wire(frame->error());
  told.message = text(frame->message());
  told.headers = {
      {"answer", "1"}, {"term", std::string(headers.get("term"))}, {"sequence", std::string(headers.get("sequence"))}};
  if (told.error == Errc::kOk) {
    from.facts.config_term = number_of(headers.get("term"));
    from.facts.config_sequence = number_of(headers.get("sequence"));
  }
  tell_publishers(told);
}

void ConfigRelay::tell_publishers(const ControlFrame& frame) const {
  links_.for_each([&](Instance& instance) {
    if (instance.manifest().publishes_config) instance.post(frame);
  });
}

void ConfigRelay::send_to(Instance& instance) const {
  const auto found = kept_.find(audience_of(instance.process()));
  if (found != kept_.end()) instance.post(config_frame(found->first, found->second));
}

bool ConfigRelay::served(std::string_view audience) const { return settled_ || kept_.contains(audience); }

ControlFrame ConfigRelay::config_frame(const std::string& audience, const Kept& kept) {
  ControlFrame frame;
  frame.kind = wire::Kind::Config;
  frame.target = audience;
  frame.headers = {{"term", std::to_string(kept.term)}, {"sequence", std::to_string(kept.sequence)}};
  frame.shared = kept.snapshot;
  return frame;
}

}  // namespace caisson::gateway
