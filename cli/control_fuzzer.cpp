#include <cstddef>
#include <cstdint>
#include <string_view>

#include "cli/app_list.hpp"
#include "cli/control.hpp"
#include "cli/status.hpp"

/// The texts that the command-line tool reads from others: control lines, status documents, apps files.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 3) {
    case 0:
      (void)caisson::cli::parse_control_request(text).has_value();
      break;
    case 1:
      if (const auto status = caisson::cli::parse_runtime_status(text)) {
        (void)caisson::cli::render_status(*status, text).size();
      } else {
        (void)caisson::cli::render_status({}, text).size();
      }
      break;
    default:
      (void)caisson::cli::parse_apps_file(std::string(text)).has_value();
      break;
  }
  return 0;
}
