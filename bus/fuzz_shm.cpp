// Any bytes as the memory of a peer: cursors, records, and the messages that announce segments. The inbox
// refuses them, or its frames can be read.

#include <sys/mman.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <vector>

#include "bus/shm_inbox.hpp"
#include "bus/shm_outbox.hpp"
#include "bus/shm_socket.hpp"

namespace {

using namespace caisson;
using shm::Inbox;
using shm::kBaseSize;

volatile std::size_t sink;

shm::Mapping private_memory(std::size_t size) {
  void* const at = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return {static_cast<char*>(at), size};
}

void use(const Frame& frame) {
  std::size_t sum = frame->id() + text(frame->path()).size();
  for (const char c : frame.payload()) sum += static_cast<unsigned char>(c);
  for (const Field field : frame.headers()) sum += field.name.size() + field.value.size();
  sink = sum;
}

/// A control message with as many descriptors as it says; segment 1 is real.
void announce(Inbox& inbox, const std::uint8_t* data, std::size_t size) {
  static const shm::MemoryFile arena = *shm::make_shared_memory(65536);
  shm::ControlSocket::Received message;
  message.what = shm::ControlSocket::Received::What::kMessage;
  message.size = std::min(size, message.bytes.size());
  std::memcpy(message.bytes.data(), data, message.size);
  message.fd_count = message.size > 0 && data[0] != 3 ? 1 : 0;
  if (message.fd_count == 1) message.fds[0] = FileDescriptor(::dup(arena.fd.get()));
  auto control = shm::parse_control(message);
  if (control && !inbox.take(*control, std::move(message.fds[0]))) sink = 1;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::size_t kHead = 16 + 16 + 4;
  if (size < kHead) return 0;
  shm::ControlSocket no_socket;
  const shm::Lender::Owner<shm::Outbox> outbox(
      new shm::Outbox({FileDescriptor(), private_memory(kBaseSize)}, no_socket));
  shm::Mapping memory = private_memory(kBaseSize);
  char* const bytes = memory.data();
  auto budget = std::make_shared<shm::MappedBudget>();
  budget->limit = kBaseSize * 100;
  const shm::Lender::Owner<Inbox> inbox(
      new Inbox(std::move(memory), outbox->cursors(), outbox->release_ring(), budget));
  outbox->attach(inbox->peer_base());

  announce(*inbox, data, 16);
  announce(*inbox, data + 16, 16);
  std::uint32_t tail = 0;
  std::memcpy(&tail, data + 32, sizeof tail);
  data += kHead;
  size -= kHead;
  std::memcpy(bytes + shm::kRingAt, data, std::min(size, shm::kRingSize));
  std::memcpy(bytes + shm::kReleaseRingAt, data, std::min(size, shm::kRingAt - shm::kReleaseRingAt));
  auto& cursors = *reinterpret_cast<shm::Cursors*>(bytes);
  cursors.tx_tail.store(tail % 2 == 0 ? tail : (tail % (shm::kRingSize / 64)) * 64);
  cursors.rx_head.store(tail >> 8);
  cursors.release_tail.store(tail >> 20);

  std::vector<Frame> held;
  std::optional<Frame> frame;
  inbox->look();
  while (inbox->next(frame) == Inbox::What::kFrame) {
    use(*frame);
    held.push_back(*std::move(frame));
    frame.reset();
  }
  inbox->tell_read();
  if (!outbox->take_back()) sink = 2;
  return 0;
}
