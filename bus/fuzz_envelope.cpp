// Any bytes as an envelope: verification refuses them, or every field can be read.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "bus/wire.hpp"

namespace {

volatile std::size_t sink;

void read_every_field(const caisson::wire::Envelope& e) {
  using caisson::text;
  std::size_t sum = e.version() + static_cast<std::size_t>(e.kind()) + e.flags() + e.id() + e.route() +
                    e.deadline_ns() + e.timeout_ns() + e.hops() + e.status() + e.error() + e.credit();
  const caisson::RequestId id = caisson::request_id(e);
  sum += id.incarnation + id.generation + id.slot;
  for (const auto* string :
       {e.target(), e.app(), e.message(), e.method(), e.path(), e.query(), e.traceparent(), e.tracestate()}) {
    for (const char c : text(string)) sum += static_cast<unsigned char>(c);
  }
  for (const auto* vector : {e.parameters(), e.headers()}) {
    const caisson::Fields fields(vector);
    for (const caisson::Field field : fields) {
      for (const char c : field.name) sum += static_cast<unsigned char>(c);
      for (const char c : field.value) sum += static_cast<unsigned char>(c);
    }
    sum += fields.size() + fields.get("etag").size() + (fields.has("content-type") ? 1 : 0);
  }
  sum += static_cast<std::size_t>(caisson::errc_from_wire(e.error()));
  sink = sum;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::vector<std::uint64_t> aligned((size + 7) / 8 + 1);
  if (size > 0) std::memcpy(aligned.data(), data, size);
  const auto envelope = caisson::verify_envelope({reinterpret_cast<const std::uint8_t*>(aligned.data()), size});
  if (envelope) read_every_field(**envelope);
  return 0;
}
