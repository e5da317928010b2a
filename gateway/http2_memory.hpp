#pragma once

#include <nghttp2/nghttp2.h>

namespace caisson::gateway {

/// Where nghttp2 takes its memory from: some ten pieces per stream that come and go with it, out of the
/// thread's stock (bus/recycled.hpp). A session is made and ends on one thread.
nghttp2_mem* http2_memory();

}  // namespace caisson::gateway
