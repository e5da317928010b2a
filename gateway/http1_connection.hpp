#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "bus/task.hpp"
#include "gateway/client_socket.hpp"
#include "gateway/gateway_counters.hpp"
#include "gateway/http1_parser.hpp"
#include "gateway/http2_stream.hpp"
#include "gateway/http_exchange.hpp"
#include "gateway/http_options.hpp"

namespace caisson::gateway {

/// One client's connection: reads a request, has it served, writes the answer, and again, in one
/// coroutine. A client that goes away while its request is served ends that coroutine, and with it
/// the call. One thread; `service` and `counters` outlive it.
class Http1Connection final : private RequestBody {
 public:
  Http1Connection(EventLoop& loop, ClientSocket& socket, HttpService& service, const HttpOptions& options,
                  GatewayCounters& counters, std::function<void()> abandon);
  ~Http1Connection();

  /// Serves until either side is done; `first` is what has been read already. `abandon` (of the
  /// constructor) is called at most once, when the client is gone: the owner then destroys the task.
  Task<void> run(std::string first);

  /// Ends after the present request; at once where there is none.
  void finish();

  /// Set when run() has ended because the client goes on in HTTP/2: it has been told to.
  [[nodiscard]] std::optional<Http2Upgrade>& upgrade() { return upgrade_; }

 private:
  enum class Next : bool { kClose, kGoOn };

  Task<Result<bool>> read_head();
  Task<Next> handle();
  bool asks_for_http2();
  Task<bool> discard_body();
  Result<bool> fill_now();
  Task<Result<void>> fill(Deadline deadline);

  // RequestBody
  Task<Result<std::string_view>> next_piece() override;
  void set_serving(bool serving) override;
  void ended() override { client_hung_up(); }  // it may have left since its last byte
  void abandon() override;

  Task<Next> write(HttpAnswer& answer, Next next);
  Task<Next> write_stream(HttpAnswer& answer, Next next);
  Task<Result<void>> write_bytes(std::string_view first, std::string_view second = {}, std::string_view third = {});
  void begin_answer(const HttpAnswer& answer, bool close);
  Task<void> answer_unreadable(const Error& error);
  Task<void> linger();

  [[nodiscard]] std::string_view pending() const { return std::string_view(input_).substr(input_at_); }
  void client_hung_up();

  EventLoop& loop_;
  ClientSocket& socket_;
  HttpService& service_;
  const HttpOptions& options_;
  GatewayCounters& counters_;
  std::function<void()> abandon_;
  bool idle_ = false;     // waits for a request to begin
  bool serving_ = false;  // waits for somebody else than the client
  bool abandoned_ = false;
  bool finishing_ = false;
  bool continue_sent_ = false;
  std::uint64_t requests_ = 0;
  std::optional<Http2Upgrade> upgrade_;

  Http1Parser parser_;
  HttpRequest request_;
  std::string input_;  // bytes read and not yet parsed begin at input_at_
  std::size_t input_at_ = 0;
  std::string head_;  // the answer's head, reused
};

}  // namespace caisson::gateway
