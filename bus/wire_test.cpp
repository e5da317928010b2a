#include "bus/wire.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

namespace caisson {
namespace {

/// Bytes at an address that suits an envelope.
class Bytes {
 public:
  explicit Bytes(std::span<const std::uint8_t> bytes) : size_(bytes.size()), aligned_((bytes.size() + 7) / 8 + 1) {
    if (!bytes.empty()) std::memcpy(aligned_.data(), bytes.data(), bytes.size());
  }
  [[nodiscard]] std::span<std::uint8_t> span() { return {reinterpret_cast<std::uint8_t*>(aligned_.data()), size_}; }

 private:
  std::size_t size_;
  std::vector<std::uint64_t> aligned_;
};

Bytes encoded(const Envelope& envelope) {
  flatbuffers::FlatBufferBuilder builder;
  return Bytes(encode(builder, envelope));
}

Bytes request() {
  const Field parameters[] = {{"store", "s"}, {"key", "k"}};
  const Field headers[] = {{"ETag", "7"}, {"Content-Type", "application/json"}};
  Envelope envelope;
  envelope.kind = wire::Kind::Request;
  envelope.flags = kStreamed;
  envelope.id = 5;
  envelope.request = {1, 2, 3};
  envelope.app = "shop";
  envelope.deadline_ns = 99;
  envelope.path = "/v1.0/state/s/k";
  envelope.parameters = parameters;
  envelope.headers = headers;
  return encoded(envelope);
}

TEST(WireTest, WhatIsEncodedIsReadBack) {
  Bytes bytes = request();

  const auto envelope = verify_envelope(bytes.span());

  ASSERT_TRUE(envelope) << envelope.error().message;
  const wire::Envelope& e = **envelope;
  EXPECT_EQ(e.version(), kSchemaVersion);
  EXPECT_EQ(e.kind(), wire::Kind::Request);
  EXPECT_EQ(e.id(), 5u);
  EXPECT_EQ(e.flags(), kStreamed);
  EXPECT_EQ(request_id(e), (RequestId{1, 2, 3}));
  EXPECT_EQ(text(e.app()), "shop");
  EXPECT_EQ(text(e.query()), "");
  EXPECT_EQ(e.deadline_ns(), 99u);
  EXPECT_EQ(Fields(e.parameters()).size(), 2u);
}

TEST(WireTest, FieldsAreFoundWithoutRegardToCase) {
  Bytes bytes = request();
  const auto envelope = verify_envelope(bytes.span());
  ASSERT_TRUE(envelope);

  const Fields headers((*envelope)->headers());

  EXPECT_EQ(headers.get("etag"), "7");
  EXPECT_TRUE(headers.has("CONTENT-TYPE"));
  EXPECT_EQ(headers.get("absent"), "");
  EXPECT_FALSE(headers.has("eta"));
}

TEST(WireTest, PairsOfStringsAreEncodedFromWhereTheyLie) {
  // Some and more than an encoder has room for at first.
  for (const std::size_t count : {1u, 3u, 16u, 17u, 100u}) {
    std::vector<std::pair<std::string, std::string>> pairs;
    for (std::size_t i = 0; i < count; ++i) {
      pairs.emplace_back("name-" + std::to_string(i), std::string(i % 9, 'v') + std::to_string(i));
    }
    Envelope envelope;
    envelope.kind = wire::Kind::Reply;
    envelope.headers = pairs;
    Bytes bytes = encoded(envelope);

    const auto read = verify_envelope(bytes.span());

    ASSERT_TRUE(read) << read.error().message;
    std::vector<std::pair<std::string, std::string>> got;
    for (const Field field : Fields((*read)->headers())) got.emplace_back(field.name, field.value);
    EXPECT_EQ(got, pairs);
  }
}

TEST(WireTest, EveryTruncationIsRefused) {
  Bytes bytes = request();
  const std::size_t size = bytes.span().size();

  for (std::size_t cut = 0; cut < size; ++cut) {
    Bytes shorter(bytes.span().first(cut));
    const auto envelope = verify_envelope(shorter.span());
    // Padding behind the last string may be missing without harm, never more than that.
    if (envelope) {
      EXPECT_GE(cut + 8, size);
    }
  }
}

TEST(WireTest, EveryFlippedBitIsRefusedOrReadWithoutHarm) {
  Bytes bytes = request();

  for (std::size_t bit = 0; bit < bytes.span().size() * 8; ++bit) {
    Bytes flipped(bytes.span());
    flipped.span()[bit / 8] ^= static_cast<std::uint8_t>(1u << (bit % 8));
    const auto envelope = verify_envelope(flipped.span());
    if (!envelope) continue;
    // The sanitizers say whether this was harmless.
    std::size_t read = text((*envelope)->path()).size() + text((*envelope)->app()).size();
    for (const Field field : Fields((*envelope)->headers())) read += std::string(field.value).size();
    EXPECT_LE(read, kMaxEnvelope);
  }
}

TEST(WireTest, AnEnvelopeOverTheLimitIsRefused) {
  const std::string path(kMaxEnvelope, 'p');
  Envelope envelope;
  envelope.kind = wire::Kind::Request;
  envelope.path = path;
  Bytes bytes = encoded(envelope);

  const auto verified = verify_envelope(bytes.span());

  ASSERT_FALSE(verified);
  EXPECT_EQ(verified.error().code, Errc::kInvalidArgument);
}

TEST(WireTest, AnEnvelopeWithoutAKindIsRefused) {
  Bytes bytes = encoded(Envelope{});

  EXPECT_FALSE(verify_envelope(bytes.span()));
}

TEST(WireTest, AKindThatThisVersionDoesNotKnowPassesVerification) {
  Envelope envelope;
  envelope.kind = static_cast<wire::Kind>(200);
  Bytes bytes = encoded(envelope);

  EXPECT_TRUE(verify_envelope(bytes.span()));
}

TEST(WireTest, ANameWithoutAValueIsRefused) {
  flatbuffers::FlatBufferBuilder builder;
  const auto strings = builder.CreateVectorOfStrings({"name", "value", "lonely"});
  wire::EnvelopeBuilder out(builder);
  out.add_kind(wire::Kind::Request);
  out.add_headers(strings);
  wire::FinishEnvelopeBuffer(builder, out.Finish());
  Bytes bytes({builder.GetBufferPointer(), builder.GetSize()});

  EXPECT_FALSE(verify_envelope(bytes.span()));
}

TEST(WireTest, BytesWithoutTheIdentifierAreRefused) {
  flatbuffers::FlatBufferBuilder builder;
  wire::EnvelopeBuilder out(builder);
  out.add_kind(wire::Kind::Ping);
  builder.Finish(out.Finish());
  Bytes bytes({builder.GetBufferPointer(), builder.GetSize()});

  EXPECT_FALSE(verify_envelope(bytes.span()));
}

TEST(WireTest, AnErrorCodeThatIsNoneIsUnknown) {
  EXPECT_EQ(errc_from_wire(14), Errc::kUnavailable);
  EXPECT_EQ(errc_from_wire(17), Errc::kUnknown);
  EXPECT_EQ(errc_from_wire(255), Errc::kUnknown);
}

}  // namespace
}  // namespace caisson
