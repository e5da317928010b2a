#include "bus/shm_inbox.hpp"

#include <algorithm>
#include <utility>

namespace caisson::shm {

namespace {

/// Blocks kept for the next frames.
constexpr std::size_t kPooled = 64;

}  // namespace

/// A further segment of the peer's: in the table until it is retired or used up, mapped until the last
/// frame in it has died.
class Inbox::Segment {
 public:
  Segment(std::uint32_t number, Mapping mapping, FileDescriptor file, std::shared_ptr<MappedBudget> budget)
      : id(number), memory(std::move(mapping)), fd(std::move(file)), budget_(std::move(budget)) {
    budget_->used += memory.size();
  }
  Segment(const Segment&) = delete;
  ~Segment() { budget_->used -= memory.size(); }

  [[nodiscard]] bool is_file() const { return fd.valid(); }

  std::uint32_t id;
  Mapping memory;
  FileDescriptor fd;  // of files, to be passed on
  std::uint32_t users = 0;
  bool listed = true;

 private:
  std::shared_ptr<MappedBudget> budget_;
};

/// A frame's memory: a private copy of what was in the record, and its hold on the rest.
class Inbox::Block final : public Memory {
 public:
  explicit Block(Inbox& inbox) : inbox_(inbox) {}

  void release() noexcept override {
    if (segment != nullptr) inbox_.give_back(*std::exchange(segment, nullptr), lent);
    long_envelope.reset();
    inbox_.pooled(this);
  }
  [[nodiscard]] SealedFile sealed() const noexcept override {
    if (segment == nullptr || !segment->is_file()) return {};
    return {segment->fd.get(), {segment->memory.data(), segment->memory.size()}};
  }

  Segment* segment = nullptr;
  std::uint32_t lent = 0;
  std::unique_ptr<char[]> long_envelope;
  alignas(kEnvelopeAlignment) char bytes[kMaxInline];

 private:
  Inbox& inbox_;
};

Inbox::Inbox(Mapping peer_base, Cursors& own, std::uint32_t* release_ring, std::shared_ptr<MappedBudget> budget)
    : base_(std::move(peer_base)),
      budget_(std::move(budget)),
      own_(&own),
      release_ring_(release_ring),
      ring_(base_.data() + kRingAt) {
  budget_->used += base_.size();
}

Inbox::~Inbox() { budget_->used -= base_.size(); }

void Inbox::closing() {
  own_ = nullptr;
  pool_.clear();
  while (!segments_.empty()) unlist(*segments_.back());
}

Inbox::What Inbox::bad(Error why) {
  complaint_ = std::move(why);
  is_bad_ = true;
  return What::kBad;
}

// --- segments ---

Result<void> Inbox::take(const Control& control, FileDescriptor fd) {
  const auto found = std::find_if(segments_.begin(), segments_.end(),
                                  [&](const Segment* segment) { return segment->id == control.segment; });
  if (control.kind == ControlKind::kRetire) {
    if (found == segments_.end() || (*found)->is_file()) {
      return Error{Errc::kInvalidArgument, "the peer retires a segment that it has not"};
    }
    unlist(**found);
    return ok();
  }
  if (found != segments_.end()) return Error{Errc::kInvalidArgument, "the peer announces a segment twice"};
  const bool is_file = control.kind == ControlKind::kFile;
  const std::size_t largest = is_file ? kMaxFile : kMaxArenaSegment;
  if (control.size == 0 || control.size > largest ||
      (is_file ? files_ >= kMaxFiles : arena_segments_ >= kMaxArenaSegments) ||
      segment_bytes_ + control.size > kMaxArenaBytes + kMaxFileBytes) {
    return Error{Errc::kInvalidArgument, "the peer announces more memory than it may"};
  }
  if (budget_->used + control.size > budget_->limit) {
    return Error{Errc::kResourceExhausted, "all peers together announce more memory than they may"};
  }
  ASSIGN(Mapping memory, map_from_peer(fd.get(), control.size, is_file ? Writer::kNobody : Writer::kItsCreator));
  if (!is_file) fd.reset();
  segments_.push_back(new Segment(control.segment, std::move(memory), std::move(fd), budget_));
  segment_bytes_ += control.size;
  ++(is_file ? files_ : arena_segments_);
  return ok();
}

void Inbox::unlist(Segment& segment) {
  segments_.erase(std::find(segments_.begin(), segments_.end(), &segment));
  segment.listed = false;
  if (!segment.is_file()) --arena_segments_;
  if (segment.users > 0) return;
  if (segment.is_file()) --files_;
  segment_bytes_ -= segment.memory.size();
  delete &segment;
}

void Inbox::hold(Segment& segment) {
  ++segment.users;
  ++held_;
  if (segment.is_file()) unlist(segment);  // for one record only
}

void Inbox::give_back(Segment& segment, std::uint32_t lent) {
  if (--segment.users == 0 && !segment.listed) {
    if (segment.is_file()) --files_;
    segment_bytes_ -= segment.memory.size();
    delete &segment;
  }
  --held_;
  if (own_ == nullptr) return;
  release_ring_[release_tail_ % kMaxLent] = lent;
  own_->release_tail.store(++release_tail_, std::memory_order_release);
  gave_back_ = true;
}

bool Inbox::find(const Place& place, std::size_t size, Part& part) {
  for (Segment* const segment : segments_) {
    if (segment->id != place.segment) continue;
    const std::size_t all = segment->memory.size();
    if (place.offset > all || size > all - place.offset) {
      bad({Errc::kInvalidArgument, "the peer names bytes outside a segment"});
      return false;
    }
    part = {segment, segment->memory.data() + place.offset};
    return true;
  }
  return false;
}

// --- frames ---

Inbox::Block* Inbox::new_block() {
  lent();
  if (pool_.empty()) return new Block(*this);
  Block* const block = pool_.back().release();
  pool_.pop_back();
  return block;
}

void Inbox::pooled(Block* block) {
  std::unique_ptr<Block> owner(block);
  if (!closed() && pool_.size() < kPooled) pool_.push_back(std::move(owner));
  owner.reset();
  came_back();
}

void Inbox::trim() { pool_.clear(); }

Inbox::What Inbox::look() {
  if (is_bad_) return What::kBad;
  if (!ring_.see(peer().tx_tail.load(std::memory_order_acquire))) {
    return bad({Errc::kInvalidArgument, ring_.complaint()});
  }
  return ring_.empty() ? What::kNothing : What::kFrame;
}

Inbox::What Inbox::next(std::optional<Frame>& frame) {
  if (is_bad_) return What::kBad;
  if (const Next next = ring_.next(); next != Next::kRecord) {
    return next == Next::kNothing ? What::kNothing : bad({Errc::kInvalidArgument, ring_.complaint()});
  }
  const RecordHead& record = ring_.record();
  Part envelope;
  Part payload;
  const bool envelope_outside = record.envelope.segment != 0;
  const bool payload_outside = record.payload.segment != 0;
  if ((envelope_outside && !find(record.envelope, record.envelope_size, envelope)) ||
      (payload_outside && !find(record.payload, record.payload_size, payload))) {
    return is_bad_ ? What::kBad : What::kNeedsSegment;
  }
  const std::uint32_t outside = (envelope_outside ? 1 : 0) + (payload_outside ? 1 : 0);
  const bool one_file_twice = outside == 2 && envelope.segment == payload.segment && envelope.segment->is_file();
  if (held_ + outside > kMaxLent || one_file_twice) {
    return bad({Errc::kInvalidArgument, "the peer lends more than it may"});
  }
  Block* const block = new_block();
  MemoryRef owner(block);
  if (payload_outside) {
    hold(*payload.segment);
    block->segment = payload.segment;
    block->lent = record.payload.lent;
  }
  copy_from_peer(block->bytes, ring_.inline_bytes(), inline_size(record));
  const char* head = block->bytes;
  if (envelope_outside) {
    hold(*envelope.segment);
    block->long_envelope = std::make_unique<char[]>(record.envelope_size);
    copy_from_peer(block->long_envelope.get(), envelope.data, record.envelope_size);
    give_back(*envelope.segment, record.envelope.lent);
    head = block->long_envelope.get();
  }
  const std::size_t inline_envelope = envelope_outside ? 0 : align_up(record.envelope_size, kEnvelopeAlignment);
  const char* const body = payload_outside ? payload.data : block->bytes + inline_envelope;
  auto verified = verify_envelope({reinterpret_cast<const std::uint8_t*>(head), record.envelope_size});
  if (!verified) return bad(std::move(verified).error());
  frame.emplace(std::move(owner), *verified, std::string_view(body, record.payload_size));
  ring_.consume();
  return What::kFrame;
}

bool Inbox::tell_read() {
  if (told_head_ == ring_.head()) return false;
  told_head_ = ring_.head();
  own_->rx_head.store(told_head_, std::memory_order_release);
  return true;
}

}  // namespace caisson::shm
