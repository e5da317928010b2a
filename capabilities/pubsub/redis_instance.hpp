#pragma once

#include <string>

#include "sdk/database_file.hpp"

namespace caisson::pubsub {

/// What tells one process from all others that consume for the same group: a restart keeps it, so
/// that the process finds what it had in hand, and nobody else has it at the same time.
struct ConsumerInstance {
  std::string name;
  sdk::FileLock lock;  // held for as long as the name is used
};

/// The name kept in `DATA_DIR/COMPONENT.consumer`, made up at the first start. Where it is in use
/// (by the old component while a changed one takes its place), or where nothing can be kept, a fresh
/// name: what was in hand under it is then found by its lease running out.
ConsumerInstance claim_consumer_instance(const std::string& data_dir, const std::string& component);

}  // namespace caisson::pubsub
