#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "bus/buffer.hpp"
#include "bus/result.hpp"
#include "bus/shm_arena.hpp"
#include "bus/shm_layout.hpp"
#include "bus/shm_lender.hpp"
#include "bus/shm_memory.hpp"
#include "bus/shm_ring.hpp"
#include "bus/shm_socket.hpp"

namespace caisson::shm {

/// Which pieces of own memory the peer has, by the ids that its release ring gives back. Private.
class LentTable {
 public:
  struct Piece {
    std::uint32_t segment = 0;
    std::uint32_t offset = 0;
    std::size_t file_bytes = 0;  // 0: a chunk of the arena
  };

  LentTable();
  /// The id under which the piece is lent; none when too many are.
  std::optional<std::uint32_t> add(Piece piece);
  /// Ends the loan; none when nothing is lent under the id.
  std::optional<Piece> remove(std::uint32_t id);
  [[nodiscard]] std::size_t size() const { return pieces_.size() - free_.size(); }

 private:
  struct Entry {
    std::uint16_t generation = 0;
    bool used = false;
    Piece piece;
  };
  std::vector<Entry> pieces_;
  std::vector<std::uint16_t> free_;
};

/// What one side sends: its ring, its arena, and what the peer holds of it. One thread; lives on until
/// every loan has died.
class Outbox final : public Lender {
 public:
  /// `socket` outlives the owner of the outbox.
  Outbox(MemoryFile base, ControlSocket& socket);

  /// The peer's memory, which the outbox reads from now on; until then it believes that nothing was read.
  void attach(const Mapping& peer_base);

  /// As Lane::loan() and Lane::publish(), and kDataLoss: the peer's cursors cannot be.
  Result<Buffer> loan(std::size_t size);
  Result<void> publish(std::span<const std::uint8_t> envelope, Buffer& payload);

  /// Shows the peer all that was published: at the end of a turn, before ringing.
  void show() { ring_.show(); }

  /// Takes back what the peer has done with; kDataLoss when it gives back what it does not have.
  Result<void> take_back();
  /// What publish() was refused for has come since. Never where the peer could not give it, which nobody
  /// tells of: see refused_for_own_reasons().
  [[nodiscard]] bool room_appeared() const;
  [[nodiscard]] bool refused_for_own_reasons() const { return refused_ == Refused::kOwnReasons; }
  /// Gives memory back to the system that was not needed since the last call.
  void retire_idle() { arena_.retire_idle(); }

  [[nodiscard]] Cursors& cursors() { return *cursors_; }
  [[nodiscard]] std::uint32_t* release_ring();
  [[nodiscard]] int memory_fd() const { return base_.fd.get(); }
  /// The descriptor was sent.
  void forget_fd() { base_.fd.reset(); }
  [[nodiscard]] std::uint64_t written() const { return ring_.tail(); }
  [[nodiscard]] std::size_t lent_pieces() const { return lent_.size(); }
  [[nodiscard]] std::size_t own_bytes() const { return kBaseSize + arena_.bytes() + file_bytes_; }
  [[nodiscard]] bool idle() const { return arena_.segments() == 0; }

 private:
  class Loan;
  enum class Refused : std::uint8_t { kNothing, kRing, kPieces, kOwnReasons };

  Result<void> look_at_head();
  /// Puts bytes, or a whole Buffer, where the peer can read them.
  Result<Place> place_copy(std::string_view bytes);
  Result<Place> place(Buffer& payload);
  Result<Place> place_file(int fd, std::size_t file_size, std::size_t offset);
  Result<Place> place_loan(Loan& loan, Buffer& payload);
  [[nodiscard]] bool file_fits(std::size_t size) const {
    return files_ < kMaxFiles && file_bytes_ + size <= kMaxFileBytes;
  }
  Result<Place> lend(LentTable::Piece piece);
  void undo(const Place& place);
  void drop(const LentTable::Piece& piece);
  Error ring_full();
  Error pieces_full(const char* why);

  MemoryFile base_;
  ControlSocket& socket_;
  Cursors* cursors_;
  RingWriter ring_;
  Arena arena_;
  LentTable lent_;
  std::size_t files_ = 0;
  std::size_t file_bytes_ = 0;
  // The peer's memory, in the inbox's keeping.
  const Cursors* peer_ = nullptr;
  const char* peer_releases_ = nullptr;
  std::uint64_t peer_head_ = 0;
  std::uint64_t peer_release_tail_ = 0;
  // Why publish() was last refused, and where the peer was then.
  Refused refused_ = Refused::kNothing;
  std::uint64_t refused_at_ = 0;
};

}  // namespace caisson::shm
