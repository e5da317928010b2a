#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "bus/clock.hpp"
#include "capabilities/config/yaml_documents.hpp"
#include "config-cache/documents.hpp"

namespace caisson::config {

/// How long a document must be gone, over at least two scans, before its deletion is believed: an
/// editor that saves in place leaves the file empty for a moment.
inline constexpr Nanos kDeletionPatience = std::chrono::milliseconds(100);

/// What the resources folders and the --config files say, scan by scan.
///
/// A document that stops parsing keeps its last good version. A deletion is believed when the
/// document is missing from a readable folder for kDeletionPatience. When everything would go, it
/// stays, unless a file named `.empty` lies in one of the folders. One thread; scan() reads files.
class ResourcesFolder {
 public:
  struct Options {
    std::vector<std::string> folders;         // not recursive
    std::vector<std::string> configurations;  // later ones are laid over earlier ones
    std::string app_namespace;                // env NAMESPACE; empty: any
  };
  explicit ResourcesFolder(Options options);

  /// Begins with what was good when the last process ended. Before the first scan().
  void restore(const Generation& last);

  struct Scan {
    /// A deletion waits to be confirmed: scan again after kDeletionPatience.
    bool deletion_pending = false;
    /// A folder or file could not be read: scan again soon.
    bool unreadable = false;
  };
  Scan scan(Nanos now);

  /// All documents in force, each with its origin. Term, sequence and audience are not set.
  [[nodiscard]] const Generation& documents() const { return documents_; }
  /// False as long as a --config file has had no good version: then the policies are not known, and
  /// nothing may be published.
  [[nodiscard]] bool complete() const { return complete_; }
  [[nodiscard]] const std::vector<Problem>& problems() const { return problems_; }
  [[nodiscard]] const Options& options() const { return options_; }

 private:
  /// A document and whether the file still says it.
  struct Known {
    Document document;
    bool present = true;
    std::optional<Nanos> missing_since;
  };
  struct File {
    std::optional<std::size_t> hash;  // of the text that was parsed; none: never read
    std::vector<Known> known;
    std::vector<Problem> problems;
    bool exists = false;
    bool readable = true;
  };
  struct Folder {
    std::string path;
    bool readable = true;
    std::map<std::string, File> files;
  };
  struct ConfigurationFile {
    std::string path;
    std::optional<std::string> good_text;
  };

  void scan_folder(Folder& folder, bool& empty_confirmed, Scan& result);
  void read_resources(const std::string& path, File& file, Scan& result);
  void update(File& file, ParsedFile parsed);
  void drop_missing(Nanos now, bool empty_confirmed, Scan& result);
  void scan_configurations(Scan& result);
  void assemble();
  void assemble_known(bool present);
  bool add_named(const Document& document, bool report);

  Options options_;
  std::vector<Folder> folders_;
  std::vector<ConfigurationFile> configurations_;
  std::optional<Configuration> restored_configuration_;
  Configuration configuration_;
  bool complete_ = false;
  Generation documents_;
  std::map<std::string, Origin> named_;  // kind/name to where it is
  std::vector<Problem> problems_;
};

}  // namespace caisson::config
