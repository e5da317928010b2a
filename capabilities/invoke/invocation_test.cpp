#include "capabilities/invoke/invocation.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <stdexcept>

#include "capabilities/invoke/headers.hpp"

namespace caisson::invoke {
namespace {

using Headers = std::vector<std::pair<std::string, std::string>>;

/// Header fields as a frame carries them.
class FrameHeaders {
 public:
  explicit FrameHeaders(const Headers& headers) {
    std::vector<Field> fields;
    for (const auto& [name, value] : headers) fields.push_back({name, value});
    Envelope envelope;
    envelope.kind = wire::Kind::Request;
    envelope.headers = fields;
    const auto bytes = encode(builder_, envelope);
    bytes_.resize(bytes.size() / sizeof(std::uint64_t) + 1);  // aligned as on a lane
    std::memcpy(bytes_.data(), bytes.data(), bytes.size());
    const auto* const begin = reinterpret_cast<const std::uint8_t*>(bytes_.data());
    const auto verified = verify_envelope({begin, bytes.size()});
    if (!verified) throw std::logic_error(verified.error().message);
    envelope_ = *verified;
  }
  [[nodiscard]] Fields fields() const { return Fields(envelope_->headers()); }

 private:
  flatbuffers::FlatBufferBuilder builder_;
  std::vector<std::uint64_t> bytes_;
  const wire::Envelope* envelope_ = nullptr;
};

/// "APP PATH", "none" or "refused".
std::string outcome(std::string_view path, const Headers& headers = {}) {
  const FrameHeaders frame(headers);
  const auto found = find_invocation(path, frame.fields());
  if (!found) return "refused";
  if (!*found) return "none";
  return (*found)->app + " " + (*found)->path;
}

constexpr const char* kBasicCart = "Basic ZGFwci1hcHAtaWQ6Y2FydA==";  // dapr-app-id:cart

TEST(FindInvocationTest, TheHeaderNamesTheAppAndTheWholePathIsTheMethod) {
  EXPECT_EQ(outcome("/orders/1", {{"Dapr-App-Id", "cart"}}), "cart /orders/1");
  EXPECT_EQ(outcome("/v1.0/invoke/other/method/x", {{"dapr-app-id", "cart"}}), "cart /v1.0/invoke/other/method/x");
}

TEST(FindInvocationTest, ABasicAuthenticationNamesTheApp) {
  EXPECT_EQ(outcome("/orders", {{"Authorization", kBasicCart}}), "cart /orders");
  EXPECT_EQ(outcome("/orders", {{"authorization", "basic REFQUi1BUFAtSUQ6Y2FydA=="}}), "cart /orders");
}

TEST(FindInvocationTest, TheHeaderComesBeforeTheAuthenticationAndThatBeforeThePath) {
  EXPECT_EQ(outcome("/x", {{"dapr-app-id", "a"}, {"authorization", kBasicCart}}), "a /x");
  EXPECT_EQ(outcome("/v1.0/invoke/b/method/x", {{"authorization", kBasicCart}}), "cart /v1.0/invoke/b/method/x");
}

TEST(FindInvocationTest, AnAuthenticationOfAnybodyElseIsNone) {
  for (const char* value :
       {"Basic dXNlcjpjYXJ0", "Bearer ZGFwci1hcHAtaWQ6Y2FydA==", "Basic !!!", "Basic ZGFwci1hcHAtaWQ6", "Basic", ""}) {
    EXPECT_EQ(outcome("/x", {{"authorization", value}}), "none") << value;
  }
}

TEST(FindInvocationTest, ThePathNamesTheAppBeforeItsFirstMethodPart) {
  EXPECT_EQ(outcome("/v1.0/invoke/cart/method/orders/1"), "cart /orders/1");
  EXPECT_EQ(outcome("/v1.0/invoke/cart/method/a/method/b"), "cart /a/method/b");
  EXPECT_EQ(outcome("/v1.0/invoke/cart/method/"), "cart /");
  EXPECT_EQ(outcome("/v1.0/invoke/my%2Eapp/method/x"), "my.app /x");
  EXPECT_EQ(outcome("/v1.0/invoke/http://host:80/method/x"), "http://host:80 /x");
}

TEST(FindInvocationTest, APathWithoutAnAppIsNone) {
  for (const char* path : {"/", "/orders", "/v1.0/invoke/cart", "/v1.0/invoke/cart/method", "/v1.0/invoke//method/x",
                           "/v1.0/invoke/method/x", "/v1.1/invoke/cart/method/x"}) {
    EXPECT_EQ(outcome(path), "none") << path;
  }
}

TEST(CleanPathTest, DotsAndEmptySegmentsAreResolvedNeverAboveTheRoot) {
  EXPECT_EQ(clean_path("/a//b/./c/../d")->path, "/a/b/d");
  EXPECT_EQ(clean_path("/../../etc/passwd")->path, "/etc/passwd");
  EXPECT_EQ(clean_path("a/%2e%2e/%2E%2E/b")->path, "/b");
  EXPECT_EQ(clean_path("/a/b/")->path, "/a/b/");
  EXPECT_EQ(clean_path("")->path, "/");
}

TEST(CleanPathTest, EscapesAreDecodedAndWrittenAgainWhereNeeded) {
  EXPECT_EQ(clean_path("/a%20b/%C3%A9")->path, "/a%20b/%C3%A9");
  EXPECT_EQ(clean_path("/a%2Fb")->path, "/a/b");
  EXPECT_EQ(clean_path("/a+b%25")->path, "/a+b%25");
  EXPECT_EQ(clean_path("/a%20b")->method, "a b");
}

TEST(CleanPathTest, CharactersThatNoPathMayHaveAreRefused) {
  for (const char* path : {"/a%00b", "/a%0d%0aX: y", "/a%3Fb", "/a%23b", "/a%7f", "/a%", "/a%zz"}) {
    EXPECT_FALSE(clean_path(path)) << path;
  }
}

std::vector<std::string> names(const std::vector<Field>& fields) {
  std::vector<std::string> all;
  for (const Field field : fields) all.emplace_back(field.name);
  return all;
}

TEST(RequestHeadersTest, OnlyWhatIsMeantForTheAppIsKept) {
  const FrameHeaders frame({{"Content-Type", "text/plain"},
                            {"X-Own", "1"},
                            {"Connection", "close, X-Hop"},
                            {"X-Hop", "1"},
                            {"Keep-Alive", "5"},
                            {"Transfer-Encoding", "chunked"},
                            {"Upgrade", "h2c"},
                            {"grpc-trace-BIN", "x"},
                            {"Content-Length", "4"},
                            {"Host", "a"},
                            {"dapr-app-id", "b"},
                            {"DAPR-API-TOKEN", "secret"},
                            {"dapr-caller-app-id", "forged"},
                            {"Accept", "*/*"}});

  EXPECT_EQ(names(request_headers(frame.fields(), false)),
            (std::vector<std::string>{"Content-Type", "X-Own", "Accept"}));
  EXPECT_EQ(names(request_headers(frame.fields(), true)),
            (std::vector<std::string>{"Content-Type", "X-Own", "Content-Length", "Accept"}));
}

TEST(ResponseHeadersTest, AllButThoseOfTheConnectionAreKept) {
  const FrameHeaders frame({{"Content-Type", "a/b"},
                            {"Set-Cookie", "a=1"},
                            {"Set-Cookie", "b=2"},
                            {"Connection", "X-Hop"},
                            {"X-Hop", "1"},
                            {"dapr-app-id", "x"},
                            {"Location", "/y"}});

  EXPECT_EQ(names(response_headers(frame.fields())),
            (std::vector<std::string>{"Content-Type", "Set-Cookie", "Set-Cookie", "dapr-app-id", "Location"}));
}

using Pairs = OwnedFields;

TEST(MetadataTest, HeadersBecomeMetadataInLowerCaseAndPermanentOnesAreMarked) {
  const std::vector<Field> headers = {{"X-Own", "1"},           {"Content-Type", "text/x"}, {"Warning", "w"},
                                      {"Set-Cookie", "a=1"},    {"Set-Cookie", "b=2"},      {"Grpc-Status", "0"},
                                      {"Authorization", "key"}, {"Connection", "close"},    {"X-Blob-Bin", "AAE="}};

  EXPECT_EQ(metadata_of_headers(headers), (Pairs{{"x-own", "1"},
                                                 {"dapr-content-type", "text/x"},
                                                 {"dapr-warning", "w"},
                                                 {"set-cookie", "a=1"},
                                                 {"set-cookie", "b=2"},
                                                 {"dapr-grpc-status", "0"},
                                                 {"authorization", "key"}}));
}

TEST(MetadataTest, WhatNoMetadataMayBeIsLeftOut) {
  EXPECT_EQ(metadata_of_headers({{"x-own!", "1"}, {"x-text", "\u00e9"}, {"x-line", "a\rb"}, {"", "1"}}), Pairs{});
}

TEST(MetadataTest, MetadataBecomeHeadersButForThoseOfTheCallItself) {
  const std::vector<Field> metadata = {{"x-own", "1"},
                                       {":authority", "here"},
                                       {"grpc-accept-encoding", "gzip"},
                                       {"grpc-encoding", "gzip"},
                                       {"grpc-timeout", "1S"},
                                       {"te", "trailers"},
                                       {"x-blob-bin", "AAE="},
                                       {"content-type", "application/grpc"},
                                       {"dapr-caller-app-id", "liar"}};

  EXPECT_EQ(headers_of_metadata(metadata),
            (Pairs{{"x-own", "1"}, {"dapr-authority", "here"}, {"dapr-grpc-accept-encoding", "gzip"}}));
}

}  // namespace
}  // namespace caisson::invoke
