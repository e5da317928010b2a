#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "bus/event_loop.hpp"
#include "bus/log.hpp"
#include "capabilities/config/compiler.hpp"
#include "capabilities/config/folder_watch.hpp"
#include "capabilities/config/items/dapr_grpc.hpp"
#include "capabilities/config/items/dapr_http.hpp"
#include "capabilities/config/items/service.hpp"
#include "capabilities/config/resources_folder.hpp"
#include "config-cache/durable_file.hpp"
#include "sdk/capability.hpp"

namespace caisson::config {

/// The capability's own command line.
struct Flags {
  std::vector<std::string> folders;         // --resources-path, --components-path
  std::vector<std::string> configurations;  // --config
  std::string compartments_file;            // --compartments-file; empty: nobody is told
  bool no_compartments = false;             // --no-compartments: all that asks for one is served without it
};
/// Reads them; kInvalidArgument says what is wrong. What is unknown is passed over.
Result<Flags> parse_flags(const std::vector<std::string>& arguments);

/// Reads the resources, watches them, and publishes a generation to each audience whose documents
/// changed. Everybody keeps the last one when this process is away. Beside that it serves configuration
/// stores (items/), which never hold publishing up.
///
/// A component that moves to another process of its capability is given to the new one first; the old
/// one goes on serving it until the new one has acknowledged that, so that nobody asks where nobody is.
///
/// In its data folder: `resources.snapshot`, the documents last in force, so that a file that broke
/// or a folder that emptied while this process was away is seen as that; `term`, which grows with
/// every start; what items/ keeps there.
class ConfigCapability final : public sdk::Capability {
 public:
  explicit ConfigCapability(sdk::Context& context);

  void define(sdk::Definition& definition) override;
  void start() override;
  void app_changed(const sdk::AppState& app) override { items_.app_changed(app); }
  void config_answered(const std::string& audience, std::uint64_t term, std::uint64_t sequence,
                       const Error* refused) override;
  [[nodiscard]] std::vector<sdk::ComponentStatus> components() const override;
  [[nodiscard]] std::string metadata() const override;
  Task<void> drain(Deadline deadline) override { return items_.drain(deadline); }

 private:
  /// What an audience was given, and what it said to that.
  struct Audience {
    std::string content;  // the snapshot without term and sequence
    std::uint64_t sequence = 0;
    std::uint64_t acknowledged_term = 0;
    std::uint64_t acknowledged = 0;
    std::string refused;   // why it refused the last; empty: it did not
    bool current = false;  // `content` is what it should have
    bool empty = false;    // it holds no component
  };

  void recall_compartments(const Generation& last);
  void folders_changed();
  void scan();
  void publish();
  Result<bool> publish_to(const std::string& name, Generation generation);
  void write_compartments(const std::vector<Compartment>& compartments);
  void complete_moves_to(const std::string& audience);
  void serve_own(Generation generation);
  void keep(const Generation& documents);
  void report(std::vector<Problem> problems);

  sdk::Context& context_;
  Flags flags_;
  std::optional<ResourcesFolder> resources_;
  std::optional<FolderWatch> watch_;
  std::vector<std::string> watched_folders_;
  Timer next_scan_;
  Nanos last_scan_{};

  std::uint64_t term_ = 0;
  std::uint64_t sequence_ = 1;  // of the next publication
  std::map<std::string, Audience> audiences_;
  Placement wanted_;
  Placement serving_;
  std::optional<DurableFile> last_documents_;
  std::string last_documents_bytes_;
  std::optional<DurableFile> compartments_file_;
  std::string compartments_told_;
  std::string own_content_;  // the snapshot of what items_ serves
  std::vector<Problem> problems_;
  std::vector<Component> unserved_;  // nobody else will tell of them
  sdk::Counter publications_;
  sdk::Counter scans_;
  sdk::Counter problem_count_;
  items::ItemsService items_;
  items::DaprHttp items_http_;
  items::DaprGrpc items_grpc_;
};

std::unique_ptr<sdk::Capability> make_config(sdk::Context& context);

/// The term of this start: above every earlier one of this data folder, and, for when that is lost,
/// not below the wall clock's milliseconds. Written durably before it is used.
std::uint64_t next_term(const std::string& data_dir);

/// What is in force when no folder is given: a state store and a pub/sub broker, embedded.
Generation default_documents();

}  // namespace caisson::config
