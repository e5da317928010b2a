// A process at the other end of a lane, for tests that kill it:
//   caisson_echo_peer connect|listen ADDRESS
// Answers every request with its body, and leaves those for /hang unanswered. A listener prints the
// address it has bound.

#include <sys/prctl.h>

#include <csignal>
#include <cstdio>
#include <memory>
#include <string_view>
#include <vector>

#include "bus/link.hpp"
#include "bus/transport.hpp"

namespace caisson {
namespace {

class Echo {
 public:
  Echo(EventLoop& loop, std::unique_ptr<Lane> lane, Side side) : loop_(loop) {
    Link::Handlers handlers;
    handlers.serve = [this](Incoming request) { return serve(std::move(request)); };
    handlers.down = [this](const Error&) { loop_.stop(); };
    link_ = std::make_unique<Link>(loop, std::move(lane), side, Link::Options{}, std::move(handlers));
    link_->start("echo", "");
  }

 private:
  Task<void> serve(Incoming request) {
    if (text(request.head()->path()) == "/hang") co_await loop_.sleep_until(Deadline::never());
    Envelope answer;
    answer.status = 200;
    Buffer body = Buffer::copy_of(request.head().payload());
    [[maybe_unused]] const auto sent = co_await request.reply(answer, std::move(body));
  }

  EventLoop& loop_;
  std::unique_ptr<Link> link_;
};

int main_of(std::string_view how, std::string_view address) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  const SystemClock clock;
  EventLoop loop(clock);
  Transport transport(loop);
  std::vector<std::unique_ptr<Echo>> echoes;
  std::unique_ptr<LaneListener> listener;
  if (how == "connect") {
    auto lane = transport.connect(address);
    if (!lane) return 1;
    echoes.push_back(std::make_unique<Echo>(loop, *std::move(lane), Side::kCapability));
  } else {
    auto made = transport.make_listener(address);
    if (!made) return 1;
    listener = *std::move(made);
    const auto listening = listener->listen([&](std::unique_ptr<Lane> lane) {
      echoes.push_back(std::make_unique<Echo>(loop, std::move(lane), Side::kGateway));
    });
    if (!listening) return 1;
    std::puts(listener->address().c_str());
    std::fflush(stdout);
  }
  loop.run();
  return 0;
}

}  // namespace
}  // namespace caisson

int main(int count, char** arguments) { return count == 3 ? caisson::main_of(arguments[1], arguments[2]) : 2; }
