#include "bus/wire.hpp"

#include <array>
#include <string>
#include <vector>

namespace caisson {

namespace {

using flatbuffers::FlatBufferBuilder;
using flatbuffers::Offset;
using flatbuffers::String;
using flatbuffers::uoffset_t;

Offset<String> string_or_none(FlatBufferBuilder& builder, std::string_view value) {
  return value.empty() ? Offset<String>() : builder.CreateString(value.data(), value.size());
}

Offset<Fields::Vector> fields_or_none(FlatBufferBuilder& builder, const FieldSpan& fields) {
  if (fields.empty()) return {};
  std::array<Offset<String>, 32> few;  // more than these take memory from the heap
  std::vector<Offset<String>> many;
  const std::size_t count = fields.size() * 2;
  if (count > few.size()) many.resize(count);
  Offset<String>* const strings = many.empty() ? few.data() : many.data();
  std::size_t written = 0;
  for (const Field field : fields) {
    strings[written++] = builder.CreateString(field.name.data(), field.name.size());
    strings[written++] = builder.CreateString(field.value.data(), field.value.size());
  }
  // As CreateVector() would, without its work for each: an element holds how far its string lies behind it.
  std::uint8_t* elements = nullptr;
  const auto vector = builder.CreateUninitializedVector(count, sizeof(uoffset_t), &elements);
  const uoffset_t first = vector - static_cast<uoffset_t>(sizeof(uoffset_t));
  for (std::size_t i = 0; i < count; ++i) {
    const auto before = static_cast<uoffset_t>(i * sizeof(uoffset_t));
    flatbuffers::WriteScalar(elements + before, first - before - strings[i].o);
  }
  return Offset<Fields::Vector>(vector);
}

bool in_pairs(const Fields::Vector* vector) { return vector == nullptr || vector->size() % 2 == 0; }

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

}  // namespace

std::span<const std::uint8_t> encode(FlatBufferBuilder& builder, const Envelope& envelope) {
  builder.Clear();
  const auto target = string_or_none(builder, envelope.target);
  const auto app = string_or_none(builder, envelope.app);
  const auto message = string_or_none(builder, envelope.message);
  const auto method = string_or_none(builder, envelope.method);
  const auto path = string_or_none(builder, envelope.path);
  const auto query = string_or_none(builder, envelope.query);
  const auto traceparent = string_or_none(builder, envelope.traceparent);
  const auto tracestate = string_or_none(builder, envelope.tracestate);
  const auto parameters = fields_or_none(builder, envelope.parameters);
  const auto headers = fields_or_none(builder, envelope.headers);
  const auto trailers = fields_or_none(builder, envelope.trailers);
  const wire::RequestId request(envelope.request.incarnation, envelope.request.generation, envelope.request.slot);

  wire::EnvelopeBuilder out(builder);
  out.add_version(envelope.version);
  out.add_kind(envelope.kind);
  out.add_flags(envelope.flags);
  out.add_id(envelope.id);
  if (envelope.request != RequestId{}) out.add_request(&request);
  out.add_route(envelope.route);
  out.add_target(target);
  out.add_app(app);
  out.add_deadline_ns(envelope.deadline_ns);
  out.add_timeout_ns(envelope.timeout_ns);
  out.add_hops(envelope.hops);
  out.add_status(envelope.status);
  out.add_error(static_cast<std::uint8_t>(envelope.error));
  out.add_message(message);
  out.add_credit(envelope.credit);
  out.add_method(method);
  out.add_path(path);
  out.add_query(query);
  out.add_traceparent(traceparent);
  out.add_tracestate(tracestate);
  out.add_parameters(parameters);
  out.add_headers(headers);
  out.add_trailers(trailers);
  wire::FinishEnvelopeBuffer(builder, out.Finish());
  return {builder.GetBufferPointer(), builder.GetSize()};
}

Result<const wire::Envelope*> verify_envelope(std::span<const std::uint8_t> bytes) {
  if (bytes.size() > kMaxEnvelope) {
    return Error{Errc::kInvalidArgument, "envelope of " + std::to_string(bytes.size()) + " bytes is over the limit"};
  }
  // The verifier looks at offsets only; reading numbers at odd addresses is not allowed.
  if (reinterpret_cast<std::uintptr_t>(bytes.data()) % kEnvelopeAlignment != 0) {
    return Error{Errc::kInternal, "envelope at an odd address"};
  }
  flatbuffers::Verifier verifier(bytes.data(), bytes.size(), /*max_depth=*/16, /*max_tables=*/256);
  if (!wire::VerifyEnvelopeBuffer(verifier)) {
    return Error{Errc::kInvalidArgument, "bytes are no envelope"};
  }
  const wire::Envelope* envelope = wire::GetEnvelope(bytes.data());
  if (envelope->kind() == wire::Kind::None) {
    return Error{Errc::kInvalidArgument, "envelope without a kind"};
  }
  if (!in_pairs(envelope->parameters()) || !in_pairs(envelope->headers()) || !in_pairs(envelope->trailers())) {
    return Error{Errc::kInvalidArgument, "envelope with a name that has no value"};
  }
  return envelope;
}

bool same_letters(std::string_view a, std::string_view b) {
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (lower(a[i]) != lower(b[i])) return false;
  }
  return true;
}

std::string_view Fields::get(std::string_view name) const {
  for (const Field field : *this) {
    if (equal_ignoring_case(field.name, name)) return field.value;
  }
  return {};
}

bool Fields::has(std::string_view name) const {
  for (const Field field : *this) {
    if (equal_ignoring_case(field.name, name)) return true;
  }
  return false;
}

}  // namespace caisson
