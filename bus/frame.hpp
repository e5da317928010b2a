#pragma once

#include <string_view>

#include "bus/buffer.hpp"
#include "bus/wire.hpp"

namespace caisson {

/// One message as received: an envelope that was verified and can no longer be changed by the
/// peer, and a payload that nobody has looked into. Move-only; the memory goes back to its lane
/// when the Frame, or the Buffer made of it, dies.
class Frame {
 public:
  Frame(MemoryRef owner, const wire::Envelope* envelope, std::string_view payload)
      : owner_(std::move(owner)), envelope_(envelope), payload_(payload) {}

  [[nodiscard]] const wire::Envelope& envelope() const { return *envelope_; }
  [[nodiscard]] const wire::Envelope* operator->() const { return envelope_; }
  [[nodiscard]] std::string_view payload() const { return payload_; }
  [[nodiscard]] Fields parameters() const { return Fields(envelope_->parameters()); }
  [[nodiscard]] Fields headers() const { return Fields(envelope_->headers()); }
  [[nodiscard]] bool streamed() const { return (envelope_->flags() & kStreamed) != 0; }

  /// The payload with its memory, for passing on; the envelope goes with it.
  [[nodiscard]] Buffer into_payload() && { return Buffer(std::move(owner_), payload_); }

 private:
  MemoryRef owner_;
  const wire::Envelope* envelope_;
  std::string_view payload_;
};

}  // namespace caisson
