#include "cli/default_resources.hpp"

#include <fmt/format.h>
#include <unistd.h>
#include <yaml-cpp/yaml.h>

#include "cli/run_dir.hpp"

namespace caisson::cli {

namespace {

std::string component(const std::string& name, const std::string& type, const std::string& database) {
  return fmt::format(
      "apiVersion: dapr.io/v1alpha1\n"
      "kind: Component\n"
      "metadata:\n"
      "  name: {}\n"
      "spec:\n"
      "  type: {}\n"
      "  version: v1\n"
      "  metadata:\n"
      "  - name: connectionString\n"
      "    value: \"{}\"\n",
      name, type, database);
}

Result<void> write_once(const std::string& path, const std::string& text) {
  if (::access(path.c_str(), F_OK) == 0) return ok();
  return write_file(path, text);
}

}  // namespace

Result<std::string> default_resources(const std::string& data_dir) {
  const std::string folder = data_dir + "/components";
  if (::access(folder.c_str(), F_OK) == 0) return folder;
  TRY(make_private_dir(folder));
  TRY(write_once(folder + "/statestore.yaml",
                 component("statestore", "state.sqlite", data_dir + "/state/statestore.db")));
  TRY(write_once(folder + "/pubsub.yaml", component("pubsub", "pubsub.sqlite", data_dir + "/pubsub/pubsub.db")));
  return folder;
}

Result<std::string> no_resources(const std::string& run_dir) {
  const std::string folder = run_dir + "/no-resources";
  TRY(make_private_dir(folder));
  return folder;
}

Result<void> check_yaml(const std::string& path) {
  ASSIGN(const std::string text, read_file(path));
  try {
    YAML::LoadAll(text);
    return ok();
  } catch (const YAML::Exception& broken) {
    return Error{Errc::kInvalidArgument, fmt::format("{}:{}: {}", path, broken.mark.line + 1, broken.msg)};
  }
}

}  // namespace caisson::cli
