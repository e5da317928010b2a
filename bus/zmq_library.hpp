#pragma once

#include <zmq.h>

#include "bus/result.hpp"

/// libzmq is loaded with the first address that needs it: its seven dependencies cost a process that has no
/// such lane 300 KiB. Included by the zmq_*.cpp files only.
#define CAISSON_ZMQ_FUNCTIONS(X) \
  X(zmq_bind)                    \
  X(zmq_close)                   \
  X(zmq_connect)                 \
  X(zmq_ctx_new)                 \
  X(zmq_ctx_term)                \
  X(zmq_getsockopt)              \
  X(zmq_msg_close)               \
  X(zmq_msg_data)                \
  X(zmq_msg_init)                \
  X(zmq_msg_init_data)           \
  X(zmq_msg_init_size)           \
  X(zmq_msg_recv)                \
  X(zmq_msg_send)                \
  X(zmq_msg_size)                \
  X(zmq_setsockopt)              \
  X(zmq_socket)                  \
  X(zmq_socket_monitor)          \
  X(zmq_strerror)

namespace caisson::zmq {

/// The library's functions by their own names, which hide the declarations of zmq.h in this namespace. Null
/// until load_library().
#define CAISSON_DECLARE(name) extern decltype(&::name) name;
CAISSON_ZMQ_FUNCTIONS(CAISSON_DECLARE)
#undef CAISSON_DECLARE

/// Any thread, any number of times. kFailedPrecondition says what is missing.
Result<void> load_library();

}  // namespace caisson::zmq
