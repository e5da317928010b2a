#include "bus/shm_outbox.hpp"

#include <cstring>
#include <new>
#include <utility>

namespace caisson::shm {

// --- LentTable ---

LentTable::LentTable() : pieces_(kMaxLent) {
  for (std::uint32_t slot = kMaxLent; slot > 0; --slot) free_.push_back(static_cast<std::uint16_t>(slot - 1));
}

std::optional<std::uint32_t> LentTable::add(Piece piece) {
  if (free_.empty()) return std::nullopt;
  const std::uint16_t slot = free_.back();
  free_.pop_back();
  Entry& entry = pieces_[slot];
  entry.used = true;
  entry.piece = piece;
  return std::uint32_t{++entry.generation} << 16 | slot;
}

std::optional<LentTable::Piece> LentTable::remove(std::uint32_t id) {
  const std::uint16_t slot = id & 0xffff;
  if (slot >= pieces_.size()) return std::nullopt;
  Entry& entry = pieces_[slot];
  if (!entry.used || entry.generation != id >> 16) return std::nullopt;
  entry.used = false;
  free_.push_back(slot);
  return entry.piece;
}

// --- Loan ---

/// Memory that publish() sends as it is: a chunk of the arena, or a file that is sealed then.
class Outbox::Loan final : public Memory {
 public:
  Loan(Outbox& outbox, Chunk chunk) : outbox_(outbox), chunk_(chunk) { outbox_.lent(); }
  Loan(Outbox& outbox, MemoryFile file) : outbox_(outbox), file_(std::move(file)) { outbox_.lent(); }

  void release() noexcept override {
    if (chunk_.data != nullptr) outbox_.arena_.give_back(chunk_.segment, chunk_.offset);
    Outbox& outbox = outbox_;
    delete this;
    outbox.came_back();
  }
  /// Once sealed it is a file like any other.
  [[nodiscard]] const void* lender() const noexcept override { return sealed_ ? nullptr : &outbox_; }
  [[nodiscard]] SealedFile sealed() const noexcept override {
    return sealed_ ? SealedFile{file_.fd.get(), {file_.mapping.data(), file_.mapping.size()}} : SealedFile{};
  }

 private:
  friend class Outbox;
  Outbox& outbox_;
  Chunk chunk_;
  MemoryFile file_;
  bool sealed_ = false;
};

// --- Outbox ---

Outbox::Outbox(MemoryFile base, ControlSocket& socket)
    : base_(std::move(base)),
      socket_(socket),
      cursors_(new (base_.mapping.data()) Cursors{}),
      ring_(base_.mapping.data() + kRingAt, cursors_->tx_tail),
      arena_([this](std::uint32_t segment, std::size_t size, int fd) {
        return socket_.send(Control{fd < 0 ? ControlKind::kRetire : ControlKind::kArena, segment, size}, fd);
      }) {}

std::uint32_t* Outbox::release_ring() {
  return reinterpret_cast<std::uint32_t*>(base_.mapping.data() + kReleaseRingAt);
}

void Outbox::attach(const Mapping& peer_base) {
  peer_ = reinterpret_cast<const Cursors*>(peer_base.data());
  peer_releases_ = peer_base.data() + kReleaseRingAt;
}

Error Outbox::ring_full() {
  refused_ = Refused::kRing;
  refused_at_ = peer_head_;
  return {Errc::kResourceExhausted, "the ring is full"};
}

Error Outbox::pieces_full(const char* why) {
  refused_ = lent_.size() > 0 ? Refused::kPieces : Refused::kOwnReasons;
  refused_at_ = peer_release_tail_;
  return {Errc::kResourceExhausted, why};
}

Result<void> Outbox::look_at_head() {
  const std::uint64_t head = peer_->rx_head.load(std::memory_order_acquire);
  if (head < peer_head_ || head > ring_.tail()) {
    return Error{Errc::kDataLoss, "the peer has read what was not written"};
  }
  peer_head_ = head;
  return ok();
}

bool Outbox::room_appeared() const {
  switch (refused_) {
    case Refused::kRing: {
      // Not for every line: a writer and a reader that take turns with each would both do little else.
      const std::uint64_t head = peer_->rx_head.load(std::memory_order_acquire);
      return head - refused_at_ >= kRingSize / 4 || head >= ring_.tail();
    }
    case Refused::kPieces:
      return peer_->release_tail.load(std::memory_order_acquire) != refused_at_;
    default:
      return false;
  }
}

Result<void> Outbox::take_back() {
  if (peer_ == nullptr) return ok();
  const std::uint64_t tail = peer_->release_tail.load(std::memory_order_acquire);
  if (tail < peer_release_tail_ || tail - peer_release_tail_ > lent_.size()) {
    return Error{Errc::kDataLoss, "the peer gives back more than it has"};
  }
  while (peer_release_tail_ != tail) {
    std::uint32_t id = 0;
    copy_from_peer(&id, peer_releases_ + peer_release_tail_ % kMaxLent * sizeof id, sizeof id);
    ++peer_release_tail_;
    const auto piece = lent_.remove(id);
    if (!piece) return Error{Errc::kDataLoss, "the peer gives back what it does not have"};
    drop(*piece);
  }
  return ok();
}

void Outbox::drop(const LentTable::Piece& piece) {
  if (piece.file_bytes == 0) return arena_.give_back(piece.segment, piece.offset);
  --files_;
  file_bytes_ -= piece.file_bytes;
}

void Outbox::undo(const Place& place) {
  if (place.segment == 0) return;
  if (const auto piece = lent_.remove(place.lent)) drop(*piece);
}

Result<Place> Outbox::lend(LentTable::Piece piece) {
  const auto id = lent_.add(piece);
  if (!id) return pieces_full("the peer has not given back enough");
  return Place{piece.segment, piece.offset, *id};
}

Result<Buffer> Outbox::loan(std::size_t size) {
  if (size > kMaxPayload) return Error{Errc::kInvalidArgument, "payload is over the limit"};
  if (!socket_.open() || size <= kMaxInline) return Buffer(std::string(size, '\0'));
  if (size > kMaxChunk) {
    ASSIGN(MemoryFile file, make_memory(size));
    char* const data = file.mapping.data();
    return Buffer(MemoryRef(new Loan(*this, std::move(file))), {data, size});
  }
  TRY(take_back());
  ASSIGN(const Chunk chunk, arena_.take(size));
  return Buffer(MemoryRef(new Loan(*this, chunk)), {chunk.data, size});
}

Result<Place> Outbox::place_copy(std::string_view bytes) {
  if (bytes.size() <= kMaxChunk) {
    if (const auto chunk = arena_.take(bytes.size())) {
      auto placed = lend({chunk->segment, chunk->offset});
      if (placed)
        std::memcpy(chunk->data, bytes.data(), bytes.size());
      else
        arena_.give_back(chunk->segment, chunk->offset);
      return placed;
    }
    if (bytes.size() < kLeastFile) return pieces_full("the arena is full");
  }
  // Before the copy: a refused file would have been copied for nothing.
  if (!file_fits(bytes.size())) return pieces_full("the peer has not given back enough");
  ASSIGN(const FileDescriptor file, make_sealed_file(bytes));
  return place_file(file.get(), bytes.size(), 0);
}

Result<Place> Outbox::place_file(int fd, std::size_t file_size, std::size_t offset) {
  if (!file_fits(file_size)) return pieces_full("the peer has not given back enough");
  const std::uint32_t segment = arena_.number();
  ASSIGN(Place placed, lend({segment, static_cast<std::uint32_t>(offset), file_size}));
  ++files_;
  file_bytes_ += file_size;
  if (auto sent = socket_.send(Control{ControlKind::kFile, segment, file_size}, fd); !sent) {
    undo(placed);
    return std::move(sent).error();
  }
  return placed;
}

Result<Place> Outbox::place_loan(Loan& loan, Buffer& payload) {
  const char* const data = payload.view().data();
  if (loan.chunk_.data != nullptr) {
    ASSIGN(Place placed, lend({loan.chunk_.segment, loan.chunk_.offset}));
    placed.offset += static_cast<std::uint32_t>(data - loan.chunk_.data);
    loan.chunk_.data = nullptr;  // the peer's to give back now
    return placed;
  }
  MemoryFile& file = loan.file_;
  const std::size_t file_size = file.mapping.size();
  const auto offset = static_cast<std::size_t>(data - file.mapping.data());
  const std::size_t size = payload.size();
  if (!file_fits(file_size)) return pieces_full("the peer has not given back enough");
  loan.sealed_ = true;
  Result<Place> placed = Error{Errc::kDataLoss, "a loan could not be sealed"};
  if (seal_for_good(file)) placed = place_file(file.fd.get(), file_size, offset);
  if (placed) return placed;
  // Sealing took the mapping; who was refused still has the payload.
  MemoryRef owner = payload.take_owner();
  ASSIGN(file.mapping, map_from_peer(file.fd.get(), file_size, Writer::kNobody));
  payload = Buffer(std::move(owner), {file.mapping.data() + offset, size});
  return placed;
}

Result<Place> Outbox::place(Buffer& payload) {
  if (const Memory* const memory = payload.memory(); memory != nullptr) {
    if (memory->lender() == this) {
      // What this outbox lent it may change; the Buffer only shows it as constant.
      return place_loan(const_cast<Loan&>(static_cast<const Loan&>(*memory)), payload);
    }
    const SealedFile file = memory->sealed();
    if (file.fd >= 0 && file.bytes.size() <= kMaxFile) {
      const auto offset = static_cast<std::size_t>(payload.view().data() - file.bytes.data());
      return place_file(file.fd, file.bytes.size(), offset);
    }
  }
  return place_copy(payload.view());
}

Result<void> Outbox::publish(std::span<const std::uint8_t> envelope, Buffer& payload) {
  refused_ = Refused::kOwnReasons;  // unless one of the calls below knows better
  const std::size_t envelope_room = align_up(envelope.size(), kEnvelopeAlignment);
  const bool envelope_inline = envelope_room <= kMaxInline;
  const bool payload_inline = payload.size() + (envelope_inline ? envelope_room : 0) <= kMaxInline;
  RecordHead head;
  head.envelope_size = static_cast<std::uint32_t>(envelope.size());
  head.payload_size = static_cast<std::uint32_t>(payload.size());
  const std::size_t inside = (envelope_inline ? envelope_room : 0) + (payload_inline ? payload.size() : 0);
  const std::size_t length = align_up(sizeof head + inside, kCacheLine);
  head.length = static_cast<std::uint32_t>(length);

  char* to = ring_.reserve(length, peer_head_);
  if (to == nullptr) {
    if (peer_ == nullptr) return Error{Errc::kResourceExhausted, "the peer is not there yet"};
    TRY(look_at_head());
    to = ring_.reserve(length, peer_head_);
  }
  if (to == nullptr) return ring_full();
  to += sizeof head;
  if (!envelope_inline || !payload_inline) {
    // Further memory is announced after the hand-over, and may be before the peer's.
    if (!socket_.open()) return Error{Errc::kResourceExhausted, "the peer is not there yet"};
    TRY(take_back());
    if (!envelope_inline) {
      auto placed = place_copy({reinterpret_cast<const char*>(envelope.data()), envelope.size()});
      if (!placed) return std::move(placed).error();
      head.envelope = *placed;
    }
    if (!payload_inline) {
      auto placed = place(payload);
      if (!placed) {
        undo(head.envelope);
        return std::move(placed).error();
      }
      head.payload = *placed;
    }
  }
  if (envelope_inline) {
    std::memcpy(to, envelope.data(), envelope.size());
    to += envelope_room;
  }
  if (payload_inline && !payload.empty()) std::memcpy(to, payload.view().data(), payload.size());
  ring_.commit(head);
  refused_ = Refused::kNothing;
  payload = Buffer();
  return ok();
}

}  // namespace caisson::shm
