#include "capabilities/secrets/make_store.hpp"

#include <fmt/format.h>

#include "capabilities/secrets/local_env_store.hpp"
#include "capabilities/secrets/local_file_store.hpp"

namespace caisson::secrets {

namespace {

using Made = Result<std::shared_ptr<sdk::Component>>;

Made make_local_env(const sdk::Metadata& metadata) {
  return std::shared_ptr<sdk::Component>(std::make_shared<LocalEnvStore>(metadata.get("prefix")));
}

Made make_local_file(const sdk::Metadata& metadata) {
  LocalFileStore::Options options;
  options.file = metadata.get("secretsFile");
  if (options.file.empty()) return Error{Errc::kInvalidArgument, "metadata 'secretsFile' is missing"};
  options.separator = metadata.get("nestedSeparator");
  if (options.separator.empty()) options.separator = ":";
  ASSIGN(options.multi_valued, metadata.get_bool("multiValued", false));
  ASSIGN(auto store, LocalFileStore::open(std::move(options)));
  return std::shared_ptr<sdk::Component>(std::move(store));
}

struct Backend {
  std::string_view type;
  Made (*make)(const sdk::Metadata&);
};

constexpr Backend kBackends[] = {
    {"secretstores.local.env", make_local_env},
    {"secretstores.local.file", make_local_file},
};

}  // namespace

Task<Made> make_store(const sdk::ComponentSpec& spec, Deadline) {
  const bool first_version = spec.version.empty() || spec.version == "v0" || spec.version == "v1";
  for (const Backend& backend : kBackends) {
    if (backend.type == spec.type && first_version) co_return backend.make(spec.metadata);
  }
  co_return Error{Errc::kInvalidArgument,
                  fmt::format("there is no secret store of type {}/{}", spec.type, spec.version)};
}

}  // namespace caisson::secrets
