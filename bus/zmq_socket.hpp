#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "bus/event_loop.hpp"
#include "bus/lane.hpp"
#include "bus/zmq_lane.hpp"
#include "bus/zmq_library.hpp"

/// What both ends of a ZeroMQ lane are made of. Included by the zmq_*.cpp files only.
namespace caisson::zmq {

/// Messages a socket queues for one peer, each way: a safety net far above the links' own windows.
inline constexpr int kHighWaterMark = 1024;
/// libzmq breaks the connection of a peer that sends a longer part; a part between the limits of
/// bus/wire.hpp and this one is refused and counted here.
inline constexpr std::int64_t kLongestPart = kMaxPayload + 64 * 1024;
/// Messages taken from a socket before the loop gets its turn.
inline constexpr int kBatch = 64;
/// Payloads below this are copied. libzmq's encoder copies whatever does not fill its 8 KiB batch
/// (encoder.hpp), and a copy of 8 KiB (some 100 ns) is cheaper than handing the memory back from
/// the I/O thread (a lock, an eventfd write and a wake-up of the loop).
inline constexpr std::size_t kCopyBelow = 8 * 1024;

/// Memory that libzmq has sent, on its way from the I/O thread to the loop's thread, where it is
/// released in batches. What comes when neither the context's owner nor a socket is left is released
/// when ZeroMQ's threads have ended.
class ReturnedMemory : public std::enable_shared_from_this<ReturnedMemory> {
 public:
  ~ReturnedMemory() { release_all(); }

  /// The loop is alive between the two. False: another loop uses it.
  bool attach(EventLoop& loop);
  void detach();
  /// From any thread.
  void give(Memory* memory);

 private:
  void release_all();

  std::mutex mutex_;
  std::vector<Memory*> memory_;
  EventLoop* loop_ = nullptr;
  int users_ = 0;
  bool posted_ = false;
};

class Message {
 public:
  Message() { zmq_msg_init(&message_); }
  Message(const Message&) = delete;
  Message& operator=(const Message&) = delete;
  ~Message() { zmq_msg_close(&message_); }

  static void copy_into(Message& message, std::string_view bytes);
  /// Hands the payload's memory over, or copies where that is cheaper; `payload` is empty afterwards.
  static void hand_over_into(Message& message, Buffer& payload, ReturnedMemory& returned);

  [[nodiscard]] zmq_msg_t* get() { return &message_; }
  [[nodiscard]] std::string_view view() {
    return {static_cast<const char*>(zmq_msg_data(&message_)), zmq_msg_size(&message_)};
  }

 private:
  zmq_msg_t message_;
};

/// One ZeroMQ socket on the event loop. `activity` runs from the loop, never from inside a call of
/// this class, after anything that may have changed what the socket can do.
///
/// ZMQ_FD is edge-triggered and says only that commands wait, and every send or receive may consume
/// the edge. So each of them, like the edge itself, asks for one look (check_soon), and whoever
/// looks reads events() until nothing is left or asks again.
class Socket {
 public:
  static Result<std::unique_ptr<Socket>> open(EventLoop& loop, std::shared_ptr<ZmqContext::State> context, int type,
                                              std::function<void()> activity);
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  ~Socket();

  Result<void> set(int option, int value);
  Result<void> set_limits();
  Result<void> bind(const std::string& endpoint);
  Result<void> connect(const std::string& endpoint);
  [[nodiscard]] std::string last_endpoint() const;

  /// Zero, or the errno; the message is consumed only by success.
  int send(Message& message, bool more);
  /// Zero, or EAGAIN where there is none.
  int receive(Message& message);
  [[nodiscard]] bool more() const;
  /// ZMQ_POLLIN and ZMQ_POLLOUT; also lets libzmq work on its commands.
  [[nodiscard]] int events();
  void check_soon();

  [[nodiscard]] EventLoop& loop() { return loop_; }
  [[nodiscard]] void* handle() { return socket_; }
  [[nodiscard]] ReturnedMemory& returned();

 private:
  Socket(EventLoop& loop, std::shared_ptr<ZmqContext::State> context, std::function<void()> activity);

  EventLoop& loop_;
  std::shared_ptr<ZmqContext::State> context_;
  std::function<void()> activity_;
  void* socket_ = nullptr;
  FdWatch watch_;
  bool check_posted_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

/// Tells what happens to a socket's connections (ZMQ_EVENT_*), later than it happens.
class Monitor {
 public:
  using Told = std::function<void(int event)>;
  static Result<std::unique_ptr<Monitor>> open(EventLoop& loop, std::shared_ptr<ZmqContext::State> context,
                                               Socket& watched, int events, Told told);
  ~Monitor();

 private:
  Monitor(Socket& watched, Told told) : watched_(watched), told_(std::move(told)) {}
  void read_events();

  Socket& watched_;
  Told told_;
  std::unique_ptr<Socket> pair_;
};

/// One frame's parts as received, at most these two; `parts` counts all.
struct Received {
  int parts = 0;
  std::unique_ptr<class ReceivedMemory> memory;
};

/// Both parts of a frame, alive until the frame is released. A frame holds libzmq's memory, which no
/// peer can reach, so it is verified where it lies; only an envelope at an odd address is moved.
class ReceivedMemory final : public Memory {
 public:
  void release() noexcept override { delete this; }

  Message envelope;
  Message payload;
  std::vector<std::uint64_t> aligned;
};

/// Takes the rest of a message whose first part comes next. Zero or an errno.
int receive_frame(Socket& socket, Received& received);
[[nodiscard]] std::size_t size_of(Received& received);
/// The frame, or why it is refused. `received` is empty after success.
Result<Frame> verify(Received& received);

/// True for the message that says "this lane is over": one empty part.
[[nodiscard]] bool is_reset(Received& received);

struct ContextDeleter {
  void operator()(void* context) const { zmq_ctx_term(context); }
};

Error error_of(int number, const std::string& what);

}  // namespace caisson::zmq

namespace caisson {

struct ZmqContext::State {
  std::shared_ptr<zmq::ReturnedMemory> returned = std::make_shared<zmq::ReturnedMemory>();
  Result<void> loaded = zmq::load_library();
  // After the members above: its end waits for the I/O thread, which gives memory back until then.
  std::unique_ptr<void, zmq::ContextDeleter> context{loaded ? zmq::zmq_ctx_new() : nullptr};
  std::uint64_t next_monitor = 1;
};

}  // namespace caisson
