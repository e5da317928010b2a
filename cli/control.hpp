#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "bus/event_loop.hpp"
#include "bus/result.hpp"
#include "bus/task.hpp"
#include "bus/task_scope.hpp"

/// The control socket RUN_DIR/caisson.sock, by which `caisson status`, `restart` and `stop` speak to
/// `caisson up`. A client of the same user (or root) sends one line, "status", "stop" or
/// "restart NAME", of at most 128 bytes; the answer is one JSON document, then the end of the stream,
/// which for "stop" comes when the runtime has ended.
namespace caisson::cli {

enum class Verb { kStatus, kRestart, kStop };

struct ControlRequest {
  Verb verb = Verb::kStatus;
  std::string name;  // restart
};

inline constexpr std::size_t kControlLineLimit = 128;
inline constexpr std::size_t kControlAnswerLimit = 1024 * 1024;

/// A line without its end. kInvalidArgument says what is wrong with it.
Result<ControlRequest> parse_control_request(std::string_view line);

/// Serves the socket. `answer` makes the JSON document; after "stop" the connection stays open as
/// long as this object. One thread.
class ControlServer {
 public:
  using Answer = std::function<Task<std::string>(ControlRequest)>;
  ControlServer(EventLoop& loop, Answer answer);
  ~ControlServer();

  Result<void> listen(const std::string& path);

 private:
  static constexpr std::size_t kMostConnections = 16;
  class Socket;

  void accept_all();
  Task<void> serve(int fd);

  EventLoop& loop_;
  Answer answer_;
  std::string path_;
  int fd_ = -1;
  FdWatch watch_;
  TaskScope connections_;
};

/// {"error": …} as the server answers it.
std::string error_json(const Error& error);

/// A client's side; blocks for at most `patience` at a time.
class ControlClient {
 public:
  /// kUnavailable when no `caisson up` serves the socket.
  static Result<ControlClient> connect(const std::string& path, Nanos patience);
  ControlClient(ControlClient&& other) noexcept;
  ControlClient& operator=(ControlClient&&) = delete;
  ~ControlClient();

  /// Sends a line and reads to the end of the stream; an {"error"} answer becomes an Error.
  Result<std::string> ask(std::string_view line);

 private:
  explicit ControlClient(int fd) : fd_(fd) {}
  int fd_;
};

}  // namespace caisson::cli
