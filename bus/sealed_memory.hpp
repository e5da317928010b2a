#pragma once

#include <string_view>

#include "bus/buffer.hpp"
#include "bus/result.hpp"

namespace caisson {

/// A copy of the bytes in a memory file that nobody can change any more: a shared-memory lane passes it
/// on as a descriptor, so that all readers on the host have one physical copy. Any other lane copies it.
/// kResourceExhausted: no memory, no descriptor.
Result<Buffer> sealed_copy(std::string_view bytes);

/// Another Buffer of the same sealed bytes, for a further receiver; it may outlive the first.
/// kFailedPrecondition: the bytes of `buffer` are not sealed.
Result<Buffer> share_sealed(const Buffer& buffer);

/// Another Buffer of the same bytes: shared where they are sealed and that succeeds, else a copy. So
/// nobody can change what it shows, whoever lent the first.
Buffer another(const Buffer& buffer);

}  // namespace caisson
