#include "capabilities/config/resources_folder.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <set>
#include <system_error>

#include "bus/result.hpp"
#include "bus/wire.hpp"
#include "config-cache/durable_file.hpp"

namespace caisson::config {

namespace {

constexpr std::size_t kMaxFiles = 4096;
constexpr std::string_view kEmptyMarker = ".empty";

struct Listing {
  std::set<std::string> yaml_files;  // sorted, as they are read
  bool empty_marker = false;
};

bool is_yaml(const std::filesystem::path& name) {
  const std::string extension = name.extension().string();
  return equal_ignoring_case(extension, ".yaml") || equal_ignoring_case(extension, ".yml");
}

Result<Listing> list(const std::string& folder) {
  Listing listing;
  std::error_code error;
  std::filesystem::directory_iterator entry(folder, error);
  while (!error && entry != std::filesystem::directory_iterator()) {
    const std::filesystem::path name = entry->path().filename();
    std::error_code ignored;
    if (name == kEmptyMarker) listing.empty_marker = true;
    if (is_yaml(name) && !entry->is_directory(ignored)) listing.yaml_files.insert(entry->path().string());
    if (listing.yaml_files.size() > kMaxFiles) {
      return Error{Errc::kOutOfRange, fmt::format("the folder has more than {} files", kMaxFiles)};
    }
    entry.increment(error);
  }
  if (error) return Error{Errc::kUnavailable, fmt::format("the folder cannot be read: {}", error.message())};
  return listing;
}

std::string without_slash(std::string path) {
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  return path;
}

/// Documents of one file are the same document if kind and name are, the nth of several.
std::vector<std::string> keys_of(const std::vector<Document>& documents) {
  std::map<std::string, int> seen;
  std::vector<std::string> keys;
  for (const Document& document : documents) {
    const std::string name = document.kind + "/" + document.name;
    keys.push_back(fmt::format("{}/{}", name, seen[name]++));
  }
  return keys;
}

template <class Content>
Document document_of(std::string_view kind, const Content& content) {
  Document document;
  document.kind = kind;
  document.name = content.name;
  document.origin = content.origin;
  document.content = content;
  return document;
}

}  // namespace

ResourcesFolder::ResourcesFolder(Options options) : options_(std::move(options)) {
  for (const std::string& path : options_.folders) folders_.push_back({without_slash(path), true, {}});
  for (const std::string& path : options_.configurations) configurations_.push_back({path, {}});
}

void ResourcesFolder::restore(const Generation& last) {
  const auto remember = [this](Document document) {
    const std::string& file = document.origin.file;
    const std::string parent = std::filesystem::path(file).parent_path().string();
    const auto folder = std::ranges::find(folders_, parent, &Folder::path);
    if (folder == folders_.end()) return;  // another --resources-path than last time
    folder->files[file].known.push_back({std::move(document), false, {}});
  };
  for (const Component& one : last.components) remember(document_of("Component", one));
  for (const Subscription& one : last.subscriptions) remember(document_of("Subscription", one));
  for (const Resiliency& one : last.resiliencies) remember(document_of("Resiliency", one));
  for (const HttpEndpoint& one : last.http_endpoints) remember(document_of("HTTPEndpoint", one));
  if (!configurations_.empty() && last.configuration.origin.file == configurations_.back().path) {
    restored_configuration_ = last.configuration;
  }
}

ResourcesFolder::Scan ResourcesFolder::scan(Nanos now) {
  Scan result;
  problems_.clear();
  bool empty_confirmed = false;
  for (Folder& folder : folders_) scan_folder(folder, empty_confirmed, result);
  drop_missing(now, empty_confirmed, result);
  scan_configurations(result);
  assemble();
  return result;
}

void ResourcesFolder::scan_folder(Folder& folder, bool& empty_confirmed, Scan& result) {
  const Result<Listing> listing = list(folder.path);
  folder.readable = listing.has_value();
  if (!listing) {
    result.unreadable = true;
    problems_.push_back({{folder.path, 0}, listing.error().message + "; what it said before stays in force"});
    return;
  }
  empty_confirmed = empty_confirmed || listing->empty_marker;
  for (const std::string& path : listing->yaml_files) folder.files[path];
  for (auto& [path, file] : folder.files) {
    file.exists = listing->yaml_files.contains(path);
    if (file.exists) read_resources(path, file, result);
    if (!file.exists) {
      file.readable = true;
      update(file, {});
    }
    problems_.insert(problems_.end(), file.problems.begin(), file.problems.end());
  }
}

void ResourcesFolder::read_resources(const std::string& path, File& file, Scan& result) {
  const Result<std::string> text = read_file(path, kMaxFile);
  file.readable = text.has_value();
  if (text) {
    const std::size_t hash = std::hash<std::string_view>()(*text);
    if (file.hash != hash) update(file, parse_resources(*text, path));
    file.hash = hash;
  } else if (text.error().code == Errc::kNotFound) {
    file.exists = false;  // gone since the folder was listed
  } else {
    // A file that stays too large is no reason to look again every second.
    result.unreadable = result.unreadable || text.error().code == Errc::kUnavailable;
    file.hash.reset();
    file.problems = {{{path, 0}, text.error().message}};
  }
}

/// What the file says now, followed by what it no longer says.
void ResourcesFolder::update(File& file, ParsedFile parsed) {
  if (!options_.app_namespace.empty()) {
    std::erase_if(parsed.documents, [this](const Document& document) {
      return !document.app_namespace.empty() && document.app_namespace != options_.app_namespace;
    });
  }
  std::vector<Document> before;
  for (const Known& known : file.known) before.push_back(known.document);
  const std::vector<std::string> old_keys = keys_of(before);
  const std::vector<std::string> new_keys = keys_of(parsed.documents);
  std::vector<Known> known;
  for (Document& document : parsed.documents) known.push_back({std::move(document), true, {}});
  for (std::size_t i = 0; i < file.known.size(); ++i) {
    if (std::ranges::find(new_keys, old_keys[i]) != new_keys.end()) continue;
    known.push_back(std::move(file.known[i]));
    known.back().present = false;
  }
  file.known = std::move(known);
  file.problems = std::move(parsed.problems);
  if (!file.exists) file.hash.reset();
}

void ResourcesFolder::drop_missing(Nanos now, bool empty_confirmed, Scan& result) {
  std::size_t staying = 0;
  std::size_t going = 0;
  const auto is_gone = [now](const Known& known) {
    return known.missing_since && now - *known.missing_since >= kDeletionPatience;
  };
  for (Folder& folder : folders_) {
    for (auto& [path, file] : folder.files) {
      // What cannot be read or does not parse says nothing about deletions.
      const bool believable = folder.readable && file.readable && file.problems.empty();
      for (Known& known : file.known) {
        if (known.present || !believable)
          known.missing_since.reset();
        else if (!known.missing_since)
          known.missing_since = now;
        result.deletion_pending = result.deletion_pending || (known.missing_since && !is_gone(known));
        ++(is_gone(known) ? going : staying);
      }
    }
  }
  if (going > 0 && staying == 0 && !empty_confirmed) {
    problems_.push_back({{folders_.front().path, 0},
                         fmt::format("all {} documents are gone; they stay in force. If that is meant, put a file "
                                     "named .empty into the folder",
                                     going)});
    return;
  }
  for (Folder& folder : folders_) {
    for (auto& [path, file] : folder.files) std::erase_if(file.known, is_gone);
    std::erase_if(folder.files, [](const auto& entry) { return !entry.second.exists && entry.second.known.empty(); });
  }
}

void ResourcesFolder::scan_configurations(Scan& result) {
  Configuration merged;
  complete_ = true;
  for (ConfigurationFile& file : configurations_) {
    const Result<std::string> text = read_file(file.path, kMaxFile);
    std::vector<Problem> problems;
    if (text) {
      Configuration alone;
      problems = parse_configuration(*text, file.path, alone);
      if (problems.empty()) file.good_text = *text;
    } else {
      result.unreadable = true;
      problems = {{{file.path, 0}, text.error().message}};
    }
    problems_.insert(problems_.end(), problems.begin(), problems.end());
    if (!file.good_text)
      complete_ = false;
    else if (!parse_configuration(*file.good_text, file.path, merged).empty())
      complete_ = false;
  }
  if (complete_) {
    configuration_ = std::move(merged);
    restored_configuration_.reset();
  } else if (restored_configuration_) {
    configuration_ = *restored_configuration_;
    complete_ = true;
  }
}

void ResourcesFolder::assemble() {
  documents_ = {};
  named_.clear();
  // A document that moved to another file: the new one counts, and the old is no duplicate.
  assemble_known(true);
  assemble_known(false);
  documents_.configuration = configuration_;
}

void ResourcesFolder::assemble_known(bool present) {
  for (const Folder& folder : folders_) {
    for (const auto& [path, file] : folder.files) {
      for (const Known& known : file.known) {
        if (known.present != present || !add_named(known.document, present)) continue;
        const auto& content = known.document.content;
        if (const auto* one = std::get_if<Component>(&content)) documents_.components.push_back(*one);
        if (const auto* one = std::get_if<Subscription>(&content)) documents_.subscriptions.push_back(*one);
        if (const auto* one = std::get_if<Resiliency>(&content)) documents_.resiliencies.push_back(*one);
        if (const auto* one = std::get_if<HttpEndpoint>(&content)) documents_.http_endpoints.push_back(*one);
      }
    }
  }
}

/// False for the second component or endpoint of a name; a problem only if a file says it twice now.
bool ResourcesFolder::add_named(const Document& document, bool report) {
  if (document.kind != "Component" && document.kind != "HTTPEndpoint") return true;
  const auto [first, added] = named_.try_emplace(document.kind + "/" + document.name, document.origin);
  if (!added && report) {
    problems_.push_back(
        {document.origin, fmt::format("{} '{}' is defined already in {}:{}; that one counts", document.kind,
                                      document.name, first->second.file, first->second.line)});
  }
  return added;
}

}  // namespace caisson::config
