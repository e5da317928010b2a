#include "sdk/counters.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <functional>
#include <unordered_map>

namespace caisson::sdk {

namespace {

constexpr char kMagic[8] = {'C', 'S', 'N', 'C', 'T', 'R', '1', '\0'};
constexpr std::size_t kHeaderSize = 64;
constexpr std::size_t kSlotSize = 256;
constexpr std::size_t kTextSize = kSlotSize - 12;

struct Header {
  char magic[8];
  std::uint32_t slots;
  std::uint32_t slot_size;
  char reserved[kHeaderSize - 16];
};
static_assert(sizeof(Header) == kHeaderSize);

struct Slot {
  std::atomic<std::uint64_t> value;
  std::uint8_t kind;
  std::atomic<std::uint8_t> name_length;  // written last: the slot counts from then on
  std::uint16_t label_length;
  char text[kTextSize];
};
static_assert(sizeof(Slot) == kSlotSize);
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

constexpr std::size_t kFileSize = kHeaderSize + Counters::kSlots * kSlotSize;

Error unavailable(const std::string& path, std::string_view what) {
  return {Errc::kUnavailable, fmt::format("{}: {}: {}", path, what, std::strerror(errno))};
}

}  // namespace

struct Counters::Table {
  /// Looked up with a view, at every request of who does not keep its counters.
  struct Hash : std::hash<std::string_view> {
    using is_transparent = void;
  };

  std::byte* memory = nullptr;
  std::size_t used = 0;
  std::unordered_map<std::string, std::size_t, Hash, std::equal_to<>> index;

  Slot& slot(std::size_t number) { return *reinterpret_cast<Slot*>(memory + kHeaderSize + number * kSlotSize); }
  void unmap() {
    if (memory != nullptr) ::munmap(std::exchange(memory, nullptr), kFileSize);
  }
  void adopt(void* mapped) {
    unmap();
    memory = static_cast<std::byte*>(mapped);
    auto& header = *reinterpret_cast<Header*>(memory);
    std::memcpy(header.magic, kMagic, sizeof kMagic);
    header.slots = kSlots;
    header.slot_size = kSlotSize;
    used = 0;
    index.clear();
  }
};

Counters::Counters() : table_(std::make_unique<Table>()) {
  void* const memory = ::mmap(nullptr, kFileSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory != MAP_FAILED) table_->adopt(memory);
}

Counters::~Counters() { table_->unmap(); }

Result<void> Counters::open(const std::string& path) {
  // A new file, not the old one truncated: a reader that has it open keeps a whole table.
  const std::string fresh = path + ".new";
  ::unlink(fresh.c_str());
  const int fd = ::open(fresh.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (fd < 0) return unavailable(fresh, "cannot create the counter table");
  void* memory = MAP_FAILED;
  if (::posix_fallocate(fd, 0, kFileSize) == 0) {
    memory = ::mmap(nullptr, kFileSize, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  }
  ::close(fd);
  if (memory == MAP_FAILED) return unavailable(fresh, "cannot map the counter table");
  table_->adopt(memory);
  if (::rename(fresh.c_str(), path.c_str()) != 0) return unavailable(path, "cannot install the counter table");
  return ok();
}

Counter Counters::counter(std::string_view name, std::string_view labels) { return find_or_add(1, name, labels); }

Counter Counters::gauge(std::string_view name, std::string_view labels) { return find_or_add(2, name, labels); }

Counter Counters::find_or_add(std::uint8_t kind, std::string_view name, std::string_view labels) {
  Table& table = *table_;
  if (table.memory == nullptr || name.empty() || name.size() > 255) return Counter();
  if (name.size() + labels.size() > kTextSize) return Counter();
  std::array<char, kTextSize + 1> text{};
  name.copy(text.data(), name.size());
  labels.copy(text.data() + name.size() + 1, labels.size());  // empty labels may point nowhere
  const std::string_view key(text.data(), name.size() + 1 + labels.size());
  if (const auto found = table.index.find(key); found != table.index.end()) {
    return Counter(&table.slot(found->second).value);
  }
  if (table.used == kSlots) return Counter();
  Slot& slot = table.slot(table.used);
  slot.kind = kind;
  slot.label_length = static_cast<std::uint16_t>(labels.size());
  name.copy(slot.text, name.size());
  labels.copy(slot.text + name.size(), labels.size());
  slot.name_length.store(static_cast<std::uint8_t>(name.size()), std::memory_order_release);
  table.index.emplace(key, table.used++);
  return Counter(&slot.value);
}

Result<std::vector<CounterValue>> read_counters(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (fd < 0) return unavailable(path, "cannot read the counter table");
  std::vector<std::byte> bytes(kFileSize);
  const ssize_t got = ::pread(fd, bytes.data(), bytes.size(), 0);
  ::close(fd);
  if (got != static_cast<ssize_t>(kFileSize)) {
    return Error{Errc::kDataLoss, path + ": a counter table of the wrong size"};
  }
  if (std::memcmp(bytes.data(), kMagic, sizeof kMagic) != 0) {
    return Error{Errc::kDataLoss, path + ": no counter table"};
  }
  std::vector<CounterValue> values;
  for (std::size_t i = 0; i < Counters::kSlots; ++i) {
    const std::byte* const at = bytes.data() + kHeaderSize + i * kSlotSize;
    std::uint64_t value = 0;
    std::uint16_t label_length = 0;
    std::memcpy(&value, at + offsetof(Slot, value), sizeof value);
    std::memcpy(&label_length, at + offsetof(Slot, label_length), sizeof label_length);
    const auto kind = static_cast<std::uint8_t>(at[offsetof(Slot, kind)]);
    const auto name_length = static_cast<std::uint8_t>(at[offsetof(Slot, name_length)]);
    if (name_length == 0) break;
    if (std::size_t{name_length} + label_length > kTextSize) {
      return Error{Errc::kDataLoss, path + ": a slot longer than its room"};
    }
    const auto* const text = reinterpret_cast<const char*>(at + offsetof(Slot, text));
    values.push_back({std::string(text, name_length), std::string(text + name_length, label_length), kind == 2, value});
  }
  return values;
}

}  // namespace caisson::sdk
