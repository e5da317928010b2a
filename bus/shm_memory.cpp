#include "bus/shm_memory.hpp"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

namespace caisson::shm {

namespace {

constexpr int kSizeSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
#ifndef MFD_NOEXEC_SEAL
constexpr unsigned MFD_NOEXEC_SEAL = 0x8;  // Linux 6.3
#endif

Error failure(const char* what) {
  const bool scarce = errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOSPC || errno == EDQUOT;
  return {scarce ? Errc::kResourceExhausted : Errc::kInternal,
          std::string("shared memory: ") + what + ": " + std::strerror(errno)};
}

Error refused(const std::string& why) { return {Errc::kInvalidArgument, "shared memory of the peer: " + why}; }

/// `name` is what /proc/PID/maps shows.
Result<FileDescriptor> open_memory(const char* name) {
  constexpr unsigned kFlags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  int fd = ::memfd_create(name, kFlags | MFD_NOEXEC_SEAL);
  if (fd < 0 && errno == EINVAL) fd = ::memfd_create(name, kFlags);
  if (fd < 0) return failure("cannot create");
  return FileDescriptor(fd);
}

Result<Mapping> map(int fd, std::size_t size, int protection, int how) {
  void* const at = ::mmap(nullptr, size, protection, how | MAP_POPULATE, fd, 0);
  if (at == MAP_FAILED) return failure("cannot map");
  ::madvise(at, size, MADV_DONTFORK);
  return Mapping(static_cast<char*>(at), size);
}

}  // namespace

void Mapping::reset() {
  if (data_ != nullptr) ::munmap(std::exchange(data_, nullptr), std::exchange(size_, 0));
}

Result<MemoryFile> make_memory(std::size_t size) {
  MemoryFile file;
  ASSIGN(file.fd, open_memory("caisson-lane"));
  // Pages that are not there now would be a SIGBUS later, in whoever touches them first.
  if (::fallocate(file.fd.get(), 0, 0, static_cast<off_t>(size)) != 0) return failure("cannot allocate");
  ASSIGN(file.mapping, map(file.fd.get(), size, PROT_READ | PROT_WRITE, MAP_SHARED));
  return file;
}

Result<MemoryFile> make_shared_memory(std::size_t size) {
  ASSIGN(MemoryFile file, make_memory(size));
  if (::fcntl(file.fd.get(), F_ADD_SEALS, kSizeSeals | F_SEAL_FUTURE_WRITE) != 0) return failure("cannot seal");
  return file;
}

Result<void> seal_for_good(MemoryFile& file) {
  file.mapping.reset();  // the seal is refused while somebody could write
  if (::fcntl(file.fd.get(), F_ADD_SEALS, kSizeSeals | F_SEAL_WRITE) != 0) return failure("cannot seal");
  return ok();
}

Result<FileDescriptor> make_sealed_file(std::string_view bytes) {
  MemoryFile file;
  ASSIGN(file.fd, open_memory("caisson-sealed"));
  // Written, not mapped: no page is made known to this process, only to be forgotten again.
  while (!bytes.empty()) {
    const ssize_t written = ::write(file.fd.get(), bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return failure("cannot write");
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  TRY(seal_for_good(file));
  return std::move(file.fd);
}

Result<Mapping> map_from_peer(int fd, std::size_t size, Writer writer) {
  // Only memory files have seals, so this comes first: a file of another kind might make stat() wait.
  const int seals = ::fcntl(fd, F_GET_SEALS);
  if (seals < 0) return refused("the descriptor is no memory file");
  const int needed = kSizeSeals | (writer == Writer::kNobody ? F_SEAL_WRITE : F_SEAL_FUTURE_WRITE);
  // What nobody can write at all is more than asked for.
  if ((seals & needed) != needed && (seals & (kSizeSeals | F_SEAL_WRITE)) != (kSizeSeals | F_SEAL_WRITE)) {
    return refused("a seal is missing");
  }
  struct stat about {};
  struct statfs system {};
  if (::fstat(fd, &about) != 0 || ::fstatfs(fd, &system) != 0) return failure("cannot look at a descriptor");
  if (!S_ISREG(about.st_mode) || system.f_type != TMPFS_MAGIC) return refused("the descriptor is no shared memory");
  if (size == 0 || static_cast<std::uint64_t>(about.st_size) != size) {
    return refused("it has " + std::to_string(about.st_size) + " bytes and was announced with " + std::to_string(size));
  }
  if (static_cast<std::uint64_t>(about.st_blocks) * 512 < size) {
    return refused("some of its pages are not there");  // they would be charged to who reads them
  }
  auto mapping = map(fd, size, PROT_READ, MAP_SHARED);
  // Before Linux 6.7 a file that is sealed against writing could not be mapped shared by a descriptor
  // that is open for writing. Nobody changes it, so a private mapping shows the same.
  if (!mapping && (seals & F_SEAL_WRITE) != 0) mapping = map(fd, size, PROT_READ, MAP_PRIVATE);
  return mapping;
}

}  // namespace caisson::shm
