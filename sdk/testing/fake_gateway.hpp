#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bus/link.hpp"
#include "config-cache/documents.hpp"
#include "sdk/process.hpp"
#include "sdk/status.hpp"

namespace caisson::testing {

/// One API request, as a test writes it.
struct Ask {
  std::string method = "GET";
  std::string path;
  std::string query;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  std::string app = "shop";
  std::uint8_t hops = 0;
  /// Of a route with a ledger: a second request with the same id is the first one sent again.
  RequestId request = {};
  /// A gRPC method: where no route has its path, the fallback for those.
  bool rpc = false;
};

/// An answer, its body put together. `error` is set where the exchange itself failed.
struct Answer {
  std::uint16_t status = 0;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  /// gRPC: text and trailers, of the answer or of the end of its body.
  std::string message;
  std::vector<std::pair<std::string, std::string>> trailers;
  Error error{Errc::kOk, {}};

  /// The first header of that name, empty when there is none.
  [[nodiscard]] std::string header(std::string_view name) const;
};

/// The real sdk::Process around a capability, linked over an in-process lane to this, which plays
/// the gateway: it finds the route of a request in the capability's manifest, tells of apps, hands
/// over configuration, and answers the capability's calls as the test says. One loop, no threads.
class FakeGateway {
 public:
  /// Answers one call of the capability (target "app" or a served name); must answer or drop it.
  using OnCall = std::function<Task<void>(Incoming)>;

  /// An empty `data_dir`: the capability keeps nothing on disk.
  FakeGateway(EventLoop& loop, const std::string& name, const sdk::MakeCapability& make, std::string data_dir = {});
  ~FakeGateway();

  /// Takes effect before this returns.
  void set_app(const std::string& id, bool reachable = true, std::uint64_t incarnation = 1,
               std::string_view protocol = "http", const std::string& address = {});
  void remove_app(const std::string& id);
  /// What the app said to one of the manifest's queries. Takes effect soon.
  void answer_query(const std::string& app, std::string_view query, std::uint16_t status, std::string body,
                    std::uint64_t incarnation = 1);
  /// Publishes the documents with the next sequence and waits until they are acknowledged; gives
  /// the refusal's message, empty when accepted.
  std::string configure(config::Generation generation);

  /// Sends a request on the route that the manifest has for it and waits for the whole answer.
  Answer ask(const Ask& ask);
  /// The same without waiting: for tests that look at pieces, or that let time pass.
  Task<Result<Reply>> send(Ask ask);
  /// A call as another capability would make it.
  Answer call(const std::string& target, const std::vector<std::pair<std::string, std::string>>& headers,
              std::string body = {});
  /// A request whose body is written afterwards.
  Result<OpenCall> open(const Ask& ask, std::string first);

  void on_call(OnCall answer) { on_call_ = std::move(answer); }
  /// The last Status frame.
  [[nodiscard]] const std::string& status_text() const { return status_; }
  [[nodiscard]] sdk::Status status() const;
  /// Turns the loop until the Status says so.
  void wait_for_status(const std::function<bool(const sdk::Status&)>& done);

  [[nodiscard]] sdk::Process& process() { return *process_; }
  [[nodiscard]] Link& link() { return *link_; }
  [[nodiscard]] EventLoop& loop() { return loop_; }

 private:
  struct Prepared;
  Prepared prepare(const Ask& ask) const;
  void on_control(const Frame& frame);
  static Task<Answer> whole(Task<Result<Reply>> task, Deadline deadline);

  EventLoop& loop_;
  std::unique_ptr<sdk::Process> process_;
  OnCall on_call_;
  std::string status_;
  std::uint64_t sequence_ = 0;
  std::optional<std::string> config_answer_;
  std::unique_ptr<Link> link_;
};

/// Answers a call with a status, headers and a whole body.
Task<void> reply_to(Incoming call, std::uint16_t status, std::vector<Field> headers, std::string body);

}  // namespace caisson::testing
