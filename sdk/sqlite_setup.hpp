#pragma once

#include <sqlite3.h>

namespace caisson::sdk {

/// To be called before a process opens its first database: SQLite then keeps no statistics of its memory, which
/// nobody reads, and which cost a lock around every allocation. Any thread; only the first call does anything.
inline void set_up_sqlite() {
  [[maybe_unused]] static const int configured = sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

}  // namespace caisson::sdk
