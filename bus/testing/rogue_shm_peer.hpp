#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <initializer_list>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bus/shm_bell.hpp"
#include "bus/shm_memory.hpp"
#include "bus/shm_ring.hpp"
#include "bus/shm_socket.hpp"

namespace caisson::testing {

inline std::string encoded(const Envelope& envelope) {
  flatbuffers::FlatBufferBuilder builder;
  const auto bytes = encode(builder, envelope);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// A peer of a shared-memory lane that says and writes whatever the test likes: hands over by hand, then
/// owns its memory.
class RogueShmPeer {
 public:
  explicit RogueShmPeer(const std::string& path) : RogueShmPeer() {
    auto connected = shm::ControlSocket::connect(path);
    EXPECT_TRUE(connected);
    if (connected) socket_ = *std::move(connected);
  }
  /// Memory and bell alone, not connected.
  RogueShmPeer() {
    base_ = *shm::make_shared_memory(shm::kBaseSize);
    bell_ = *shm::OutgoingBell::make();
    ring_.emplace(base_.mapping.data() + shm::kRingAt, cursors().tx_tail);
  }

  /// The same memory as if nothing had been written.
  void start_over() {
    std::memset(bytes(), 0, shm::kRingAt);
    ring_.emplace(base_.mapping.data() + shm::kRingAt, cursors().tx_tail);
  }

  /// One message with these descriptors, which stay the caller's.
  void send(const void* bytes, std::size_t size, std::initializer_list<int> fds) {
    iovec part{const_cast<void*>(bytes), size};
    alignas(cmsghdr) char space[CMSG_SPACE(16 * sizeof(int))] = {};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    if (fds.size() > 0) {
      message.msg_control = space;
      message.msg_controllen = CMSG_SPACE(fds.size() * sizeof(int));
      cmsghdr* const head = CMSG_FIRSTHDR(&message);
      head->cmsg_level = SOL_SOCKET;
      head->cmsg_type = SCM_RIGHTS;
      head->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
      std::memcpy(CMSG_DATA(head), fds.begin(), fds.size() * sizeof(int));
    }
    EXPECT_EQ(::sendmsg(socket_.fd(), &message, MSG_NOSIGNAL), static_cast<ssize_t>(size));
  }
  void hand_over(const shm::HandOver& message, std::initializer_list<int> fds) { send(&message, sizeof message, fds); }
  /// As a peer that means well would.
  void hand_over() { hand_over({}, {memory(), bell()}); }
  void control(const shm::Control& message, std::initializer_list<int> fds) { send(&message, sizeof message, fds); }

  [[nodiscard]] int memory() const { return base_.fd.get(); }
  [[nodiscard]] int bell() const { return bell_.peer_end(); }
  void ring_bell() { bell_.ring(); }
  [[nodiscard]] shm::Cursors& cursors() { return *reinterpret_cast<shm::Cursors*>(base_.mapping.data()); }
  [[nodiscard]] char* bytes() { return base_.mapping.data(); }

  /// Writes a record that means well, with the envelope in it.
  void put(const std::string& envelope, const std::string& payload = {}) {
    shm::RecordHead head;
    head.envelope_size = static_cast<std::uint32_t>(envelope.size());
    head.payload_size = static_cast<std::uint32_t>(payload.size());
    put(head, envelope, payload);
  }
  /// Writes a record with this head; only its length and sequence are filled in.
  void put(shm::RecordHead head, const std::string& envelope, const std::string& payload = {}) {
    const std::size_t room = shm::align_up(envelope.size(), kEnvelopeAlignment);
    head.length = static_cast<std::uint32_t>(shm::align_up(sizeof head + room + payload.size(), shm::kCacheLine));
    // As if all had been read.
    char* const to = ring_->reserve(head.length, ring_->tail()) + sizeof head;
    std::memcpy(to, envelope.data(), envelope.size());
    std::memcpy(to + room, payload.data(), payload.size());
    ring_->commit(head);
    ring_->show();
  }
  void hello() {
    Envelope envelope;
    envelope.kind = wire::Kind::Hello;
    put(encoded(envelope));
  }
  /// Changes what was written last, after it was published.
  [[nodiscard]] shm::RecordHead& record_at(std::uint64_t position) {
    return *reinterpret_cast<shm::RecordHead*>(bytes() + shm::kRingAt + position % shm::kRingSize);
  }
  [[nodiscard]] std::uint64_t written() const { return ring_->tail(); }
  [[nodiscard]] shm::ControlSocket& socket() { return socket_; }
  /// The other side closed the connection.
  [[nodiscard]] bool closed() {
    while (true) {
      const auto message = socket_.receive();
      if (message.what == shm::ControlSocket::Received::What::kEnd) return true;
      if (message.what == shm::ControlSocket::Received::What::kNothing) return false;
    }
  }

 private:
  shm::ControlSocket socket_;
  shm::MemoryFile base_;
  shm::OutgoingBell bell_;
  std::optional<shm::RingWriter> ring_;
};

}  // namespace caisson::testing
