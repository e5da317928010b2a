#include "bus/shm_socket.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace caisson::shm {

namespace {

Error refused(const std::string& why) { return {Errc::kInvalidArgument, "hand-over of shared memory: " + why}; }

/// Room for more descriptors than are ever expected: what is too much is seen, and closed.
constexpr std::size_t kSurplus = 4;

}  // namespace

Result<ControlSocket> ControlSocket::connect(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return Error{Errc::kInvalidArgument, "path is too long for a socket: " + path};
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  FileDescriptor fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return Error{Errc::kUnavailable, std::string("cannot open a socket: ") + std::strerror(errno)};
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    const Errc code = errno == EAGAIN ? Errc::kResourceExhausted : Errc::kUnavailable;
    return Error{code, "cannot connect to " + path + ": " + std::strerror(errno)};
  }
  return ControlSocket(std::move(fd));
}

Result<void> ControlSocket::send(const HandOver& message, int memory, int bell) {
  const int fds[] = {memory, bell};
  return send_bytes(&message, sizeof message, fds, 2);
}

Result<void> ControlSocket::send(const Control& message, int memory) {
  return send_bytes(&message, sizeof message, &memory, memory < 0 ? 0 : 1);
}

Result<void> ControlSocket::send_bytes(const void* bytes, std::size_t size, const int* fds, std::size_t count) {
  iovec part{const_cast<void*>(bytes), size};
  alignas(cmsghdr) char space[CMSG_SPACE(2 * sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (count > 0) {
    message.msg_control = space;
    message.msg_controllen = CMSG_SPACE(count * sizeof(int));
    cmsghdr* const head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(count * sizeof(int));
    std::memcpy(CMSG_DATA(head), fds, count * sizeof(int));
  }
  if (::sendmsg(fd_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0) return ok();
  const bool scarce = errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM || errno == ETOOMANYREFS;
  return Error{scarce ? Errc::kResourceExhausted : Errc::kUnavailable,
               std::string("cannot send to the peer: ") + std::strerror(errno)};
}

ControlSocket::Received ControlSocket::receive() {
  using What = Received::What;
  Received out;
  iovec part{out.bytes.data(), out.bytes.size()};
  alignas(cmsghdr) char space[CMSG_SPACE((2 + kSurplus) * sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = space;
  message.msg_controllen = sizeof space;
  ssize_t got = ::recvmsg(fd_.get(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  // Told once, when the peer left something unread; what it sent before is still there.
  if (got < 0 && errno == ECONNRESET) got = ::recvmsg(fd_.get(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (got < 0) {
    out.what = errno == EAGAIN || errno == EINTR ? What::kNothing : What::kEnd;
    return out;
  }
  bool surplus = (message.msg_flags & (MSG_CTRUNC | MSG_TRUNC)) != 0;
  for (cmsghdr* head = CMSG_FIRSTHDR(&message); head != nullptr; head = CMSG_NXTHDR(&message, head)) {
    if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS) {
      surplus = true;
      continue;
    }
    const std::size_t count = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(head) + i * sizeof fd, sizeof fd);
      FileDescriptor owner(fd);  // closed here unless it is one of those that were expected
      if (out.fd_count < out.fds.size())
        out.fds[out.fd_count++] = std::move(owner);
      else
        surplus = true;
    }
  }
  out.size = static_cast<std::size_t>(got);
  if (surplus)
    out.what = What::kRefused;
  else
    out.what = got == 0 ? What::kEnd : What::kMessage;
  return out;
}

Result<PeerEnd> take_hand_over(ControlSocket::Received message) {
  if (message.what == ControlSocket::Received::What::kRefused) return refused("too much was sent along");
  HandOver said;
  if (message.size < sizeof said.magic + sizeof said.abi) return refused("the message is too short");
  std::memcpy(&said, message.bytes.data(), std::min(message.size, sizeof said));
  if (said.magic != kMagic) return refused("the message is none");
  if (said.abi != kAbi) {
    return Error{Errc::kFailedPrecondition, "the peer has version " + std::to_string(said.abi) +
                                                " of the shared-memory layout, this process " + std::to_string(kAbi)};
  }
  if (message.size != sizeof said) return refused("the message has another length");
  if (said.segment_size != kBaseSize || said.ring_size != kRingSize || said.max_lent != kMaxLent) {
    return refused("the sizes are others");
  }
  if (message.fd_count != 2) return refused("two descriptors were expected");
  PeerEnd peer;
  ASSIGN(peer.base, map_from_peer(message.fds[0].get(), kBaseSize, Writer::kItsCreator));
  // Answered by pipes only, and never waits, as stat() on a file of a foreign file system might.
  const int bell = message.fds[1].get();
  if (::fcntl(bell, F_GETPIPE_SZ) < 0) return refused("the bell is no pipe");
  if ((::fcntl(bell, F_GETFL) & O_ACCMODE) != O_RDONLY) return refused("the bell is not the pipe's end for reading");
  peer.bell = std::move(message.fds[1]);
  return peer;
}

Result<Control> parse_control(const ControlSocket::Received& message) {
  if (message.what != ControlSocket::Received::What::kMessage) return refused("too much was sent along");
  Control control;
  if (message.size != sizeof control) return refused("a control message has another length");
  std::memcpy(&control, message.bytes.data(), sizeof control);
  const bool known =
      control.kind == ControlKind::kArena || control.kind == ControlKind::kFile || control.kind == ControlKind::kRetire;
  if (!known || control.segment == 0) return refused("a control message that is none");
  if (message.fd_count != (control.kind == ControlKind::kRetire ? 0U : 1U)) {
    return refused("a control message with other descriptors than it needs");
  }
  return control;
}

}  // namespace caisson::shm
