#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bus/inproc_lane.hpp"
#include "bus/testing/fake_clock.hpp"
#include "bus/testing/run.hpp"
#include "gateway/gateway.hpp"

/// A whole gateway in the test's own loop, with capabilities whose answers the test decides.
namespace caisson::gateway::testing {

using caisson::testing::FakeClock;
using caisson::testing::run_until;

enum RouteNumber : std::uint16_t { kRead = 1, kWrite, kStream, kHealth, kLimited };

inline Manifest fake_manifest() {
  Manifest manifest;
  manifest.capability = "fake";
  manifest.takes_config = false;
  manifest.max_in_flight = 8;
  Route read{.number = kRead, .method = "GET,HEAD", .path = "/v1/things/{box}/{key}"};
  read.safe = true;
  read.selector = "box";
  Route write{.number = kWrite, .method = "POST", .path = "/v1/things/{box}"};
  Route stream{.number = kStream, .method = "POST", .path = "/v1/stream"};
  stream.streaming = true;
  Route health{.number = kHealth, .method = "GET", .path = "/v1/health"};
  health.open = true;
  Route limited{.number = kLimited, .method = "POST", .path = "/v1/limited"};
  limited.body_limit = 10;
  limited.too_large = {400, "ERR_THING_TOO_LARGE", "too large"};
  limited.unavailable = {503, "ERR_THING_AWAY", "away"};
  manifest.routes = {read, write, stream, health, limited};
  return manifest;
}

/// A capability's end of a link, whose answers the test decides.
class FakeCapability {
 public:
  using Serve = std::function<Task<void>(Incoming)>;

  FakeCapability(EventLoop& loop, std::unique_ptr<Lane> lane, Serve serve, std::string name = "fake",
                 std::string instance = "i1", const std::string& more = {})
      : link(loop, std::move(lane), Side::kCapability, {}, handlers(std::move(serve))) {
    link.start(name, R"({"capability":")" + name + R"(","instance":")" + instance +
                         R"(","incarnation":"1","version":"t","pid":1)" + more + "}");
  }

  void say_goodbye() {
    Envelope goodbye;
    goodbye.kind = wire::Kind::Goodbye;
    Buffer nothing;
    ASSERT_TRUE(link.send(goodbye, nothing));
  }

  Link::Handlers handlers(Serve serve) {
    Link::Handlers all;
    all.serve = std::move(serve);
    all.control = [this](const Frame& frame) {
      if (frame->kind() == wire::Kind::App) apps.push_back(std::string(text(frame->app())));
      if (frame->kind() == wire::Kind::Config) configs.push_back(std::string(frame.payload()));
      if (frame->kind() == wire::Kind::Config && frame.headers().has("answer")) ++answers;
      if (frame->kind() == wire::Kind::Goodbye) released = true;
    };
    return all;
  }

  std::vector<std::string> apps;
  std::vector<std::string> configs;
  int answers = 0;
  bool released = false;
  Link link;
};

/// A client's socket, driven by the test between turns of the loop.
class Client {
 public:
  explicit Client(std::uint16_t port) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    [[maybe_unused]] const int begun = ::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address);
  }
  Client(const Client&) = delete;
  ~Client() { leave(); }

  void leave() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }
  /// True once all of `bytes` have gone out over however many calls.
  bool send(std::string_view bytes) {
    const ssize_t sent = ::send(fd_, bytes.data() + sent_, bytes.size() - sent_, MSG_NOSIGNAL);
    if (sent > 0) sent_ += static_cast<std::size_t>(sent);
    if (sent_ < bytes.size()) return false;
    sent_ = 0;
    return true;
  }
  /// Everything received so far.
  const std::string& received() {
    char piece[64 * 1024];
    ssize_t got = 0;
    while ((got = ::recv(fd_, piece, sizeof piece, 0)) > 0) received_.append(piece, static_cast<std::size_t>(got));
    closed_ = closed_ || got == 0;
    return received_;
  }
  bool closed() {
    received();
    return closed_;
  }
  void forget() { received_.clear(); }

 private:
  int fd_;
  std::size_t sent_ = 0;
  bool closed_ = false;
  std::string received_;
};

inline std::string get(std::string_view path, std::string_view more = {}) {
  return "GET " + std::string(path) + " HTTP/1.1\r\nHost: h\r\n" + std::string(more) + "\r\n";
}
inline std::string post(std::string_view path, std::string_view body, std::string_view more = {}) {
  return "POST " + std::string(path) + " HTTP/1.1\r\nHost: h\r\n" + std::string(more) +
         "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + std::string(body);
}

class GatewayTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/caisson-gateway-XXXXXX";
    directory_ = ::mkdtemp(name);
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
  }
  void TearDown() override {
    capability_.reset();
    gateway_.reset();
    std::filesystem::remove_all(directory_);
  }

  void start(AppConfig app = {}) {
    Gateway::Options options;
    options.run_dir = directory_;
    Gateway::Handlers handlers;
    handlers.make_listener = [this](const std::string& process) { return listener(process); };
    handlers.shut_down = [](bool) {};
    handlers.pages = {[] { return std::string("m 1\n"); }, [] { return std::string("{}"); }};
    gateway_ = std::make_unique<Gateway>(loop_, options, std::move(handlers));
    ASSERT_TRUE(gateway_->start());
    app.id = "shop";
    app.http_port = app.grpc_port = 0;
    app.listen_addresses = {"127.0.0.1"};
    const auto opened = gateway_->set_apps({app});
    ASSERT_TRUE(opened) << opened.error().message;
    port_ = gateway_->http_port("shop");
  }

  /// Lanes of installed manifests come from the test.
  class TestListener final : public LaneListener {
   public:
    TestListener(GatewayTest& owner, std::string process) : owner_(owner), process_(std::move(process)) {}
    ~TestListener() override { owner_.accepts_.erase(process_); }
    Result<void> listen(Accept accept) override {
      owner_.accept_ = accept;
      owner_.accepts_[process_] = std::move(accept);
      return ok();
    }

   private:
    GatewayTest& owner_;
    std::string process_;
  };
  Result<std::unique_ptr<LaneListener>> listener(const std::string& process) {
    return std::unique_ptr<LaneListener>(std::make_unique<TestListener>(*this, process));
  }

  void install(const Manifest& manifest, const std::string& file = "fake.json") {
    std::filesystem::create_directories(directory_ + "/manifests");
    ASSERT_TRUE(replace_file(directory_ + "/manifests/" + file, to_json(manifest)));
  }

  /// Installs the fake manifest and links an instance of it.
  void start_with(FakeCapability::Serve serve, AppConfig app = {}) {
    install(fake_manifest());
    start(std::move(app));
    link(std::move(serve));
  }
  void link(FakeCapability::Serve serve, std::string instance = "i1") {
    auto [ours, theirs] = make_inproc_lanes(loop_);
    accept_(std::move(ours));
    capability_ = std::make_unique<FakeCapability>(loop_, std::move(theirs), std::move(serve), "fake", instance);
    run_until(loop_, [&] { return capability_->link.ready() && !capability_->apps.empty(); });
  }

  /// Answers with what was asked: method, raw path, query, parameters, headers, body.
  static Task<void> echo(Incoming incoming) {
    const Frame& head = incoming.head();
    std::string said(text(head->method()));
    said += " " + std::string(text(head->path())) + "?" + std::string(text(head->query()));
    for (const Field field : head.parameters()) said += " " + std::string(field.name) + "=" + std::string(field.value);
    for (const Field field : head.headers()) said += "|" + std::string(field.name) + ":" + std::string(field.value);
    said += "#" + std::string(head.payload());
    const Field headers[] = {{"x-fake", "yes"}, {"connection", "evil"}, {"x-bad", "a\r\nb: c"}};
    Envelope reply;
    reply.status = 200;
    reply.headers = headers;
    [[maybe_unused]] const auto sent = co_await incoming.reply(reply, Buffer(std::move(said)));
  }

  /// Calls what the capability itself serves, and says how that ended.
  Task<void> call_itself(std::optional<Errc>& end) {
    Envelope call;
    call.kind = wire::Kind::Call;
    call.target = "fake.echo";
    Buffer nothing;
    auto asked = capability_->link.call(call, nothing, Deadline::never());
    const auto reply = co_await std::move(asked);
    end = reply ? Errc::kOk : reply.error().code;
  }

  std::string exchange(Client& client, const std::string& request, const std::string& until) {
    bool sent = false;
    run_until(loop_, [&] {
      sent = sent || client.send(request);
      return sent && (client.received().find(until) != std::string::npos || client.closed());
    });
    return client.received();
  }

  std::string directory_;
  FakeClock clock_;
  EventLoop loop_{clock_};
  LaneListener::Accept accept_;                          // of the listener that was made last
  std::map<std::string, LaneListener::Accept> accepts_;  // by process
  std::unique_ptr<Gateway> gateway_;
  std::unique_ptr<FakeCapability> capability_;
  std::uint16_t port_ = 0;
};

}  // namespace caisson::gateway::testing
