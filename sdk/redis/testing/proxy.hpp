#pragma once

#include <atomic>
#include <cstdint>
#include <list>
#include <thread>

namespace caisson::redis::testing {

/// A TCP proxy on a thread of its own, on a free port of 127.0.0.1, that can do harm.
class Proxy {
 public:
  explicit Proxy(std::uint16_t server_port);
  Proxy(const Proxy&) = delete;
  Proxy& operator=(const Proxy&) = delete;
  ~Proxy();

  [[nodiscard]] std::uint16_t port() const { return port_; }

  /// As a wire does it. The mode at the beginning.
  void forward() { mode_ = Mode::kForward; }
  /// Takes all bytes and passes none on: a peer that is gone without a word.
  void swallow() { mode_ = Mode::kSwallow; }
  /// The server gets what the client sends, the client no answer.
  void swallow_replies() { mode_ = Mode::kSwallowReplies; }
  /// Ends every new connection at once. What is connected stays.
  void refuse() { mode_ = Mode::kRefuse; }
  /// Ends all connections with a reset.
  void cut() { cuts_wanted_.fetch_add(1); }
  /// Connections accepted so far, refused ones included.
  [[nodiscard]] int accepted() const { return accepted_; }

 private:
  enum class Mode : std::uint8_t { kForward, kSwallow, kSwallowReplies, kRefuse };
  struct Pair {
    int client;
    int server;
  };

  void work();
  void accept_one();
  bool pass_on(const Pair& pair, bool from_client);
  static void reset(const Pair& pair);

  const std::uint16_t server_port_;
  std::uint16_t port_ = 0;
  int listening_ = -1;
  std::list<Pair> pairs_;
  int cuts_done_ = 0;
  std::atomic<Mode> mode_{Mode::kForward};
  std::atomic<int> cuts_wanted_{0};
  std::atomic<int> accepted_{0};
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace caisson::redis::testing
