#pragma once

namespace caisson {

/// Makes the heap give memory back: a body of a megabyte is mapped for itself and unmapped when it is
/// freed. Left alone, glibc takes the first such free as a sign that more will come, and keeps all of
/// that size from then on (mallopt(3), M_MMAP_THRESHOLD: "dynamic"). Once, at the start of a process;
/// without effect on another C library.
void give_large_memory_back();

}  // namespace caisson
