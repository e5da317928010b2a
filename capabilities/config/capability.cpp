#include "capabilities/config/capability.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <chrono>
#include <filesystem>

#include "bus/json_writer.hpp"
#include "config-cache/generation.hpp"
#include "config-cache/replica.hpp"

namespace caisson::config {

namespace {

constexpr Nanos kRescan = std::chrono::seconds(60);
constexpr Nanos kRescanUnreadable = std::chrono::seconds(1);
constexpr Nanos kBetweenScans = std::chrono::milliseconds(10);
constexpr std::size_t kMaxReported = 100;

std::string environment(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? std::string() : value;
}

std::string folder_of(const std::string& file) {
  const std::string parent = std::filesystem::path(file).parent_path().string();
  return parent.empty() ? "." : parent;
}

std::string place(const Origin& origin) {
  return origin.line == 0 ? origin.file : fmt::format("{}:{}", origin.file, origin.line);
}

}  // namespace

Result<Flags> parse_flags(const std::vector<std::string>& arguments) {
  Flags flags;
  CLI::App app("config");
  app.add_option("--resources-path,--components-path", flags.folders)->expected(1)->take_all();
  app.add_option("--config", flags.configurations)->expected(1)->take_all();
  app.add_option("--compartments-file", flags.compartments_file);
  app.add_flag("--no-compartments", flags.no_compartments);
  app.allow_extras();
  std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());  // as CLI11 wants them
  try {
    app.parse(reversed);
  } catch (const CLI::Error& error) {
    return Error{Errc::kInvalidArgument, error.what()};
  }
  return flags;
}

std::uint64_t next_term(const std::string& data_dir) {
  const auto wall = std::chrono::system_clock::now().time_since_epoch();
  const auto now = static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(wall).count());
  if (data_dir.empty()) return now;
  const std::string path = data_dir + "/term";
  std::uint64_t last = 0;
  if (const auto text = read_file(path, 64); text) {
    const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), last);
    if (error != std::errc() || end == text->data()) {
      log(LogLevel::kError, fmt::format("{} holds no number; the clock's time is taken instead", path));
      last = 0;
    }
  }
  const std::uint64_t term = std::max(last + 1, now);
  if (const auto written = write_file_durably(path, std::to_string(term)); !written) {
    log(LogLevel::kError, fmt::format("the term of this start is not on disk: {}", written.error().message));
  }
  return term;
}

Generation default_documents() {
  Generation documents;
  const Origin origin{"(default)", 0};
  for (const auto& [name, type] : {std::pair{"statestore", "state.sqlite"}, std::pair{"pubsub", "pubsub.sqlite"}}) {
    Component component;
    component.name = name;
    component.type = type;
    component.version = "v1";
    component.origin = origin;
    documents.components.push_back(std::move(component));
  }
  return documents;
}

std::unique_ptr<sdk::Capability> make_config(sdk::Context& context) {
  return std::make_unique<ConfigCapability>(context);
}

ConfigCapability::ConfigCapability(sdk::Context& context)
    : context_(context),
      next_scan_(context.loop(), [this] { scan(); }),
      items_(context),
      items_http_(items_),
      items_grpc_(items_, context) {}

void ConfigCapability::define(sdk::Definition& definition) {
  definition.manifest().publishes_config = true;
  definition.manifest().takes_config = false;  // it makes them
  definition.manifest().calls = {"app", "secrets.resolve"};
  items_http_.define(definition);
  items_grpc_.define(definition);
}

void ConfigCapability::start() {
  if (auto flags = parse_flags(context_.arguments()); flags) {
    flags_ = *std::move(flags);
  } else {
    log(LogLevel::kError, fmt::format("command line: {}", flags.error().message));
  }
  publications_ = context_.counters().counter("config_publications_total");
  scans_ = context_.counters().counter("config_scans_total");
  problem_count_ = context_.counters().gauge("config_problems");
  const std::string& data_dir = context_.data_dir();
  term_ = next_term(data_dir);
  resources_.emplace(ResourcesFolder::Options{flags_.folders, flags_.configurations, environment("NAMESPACE")});
  compartments_file_.emplace(flags_.compartments_file);
  last_documents_.emplace(data_dir.empty() ? std::string() : data_dir + "/resources.snapshot");
  if (!data_dir.empty()) {
    if (const auto last = load_snapshot(last_documents_->path()); last) {
      resources_->restore(*last);
      if (!flags_.no_compartments) recall_compartments(*last);
    } else if (last.error().code != Errc::kNotFound) {
      log(LogLevel::kError, fmt::format("{}; only what the folders say now is known", last.error().message));
    }
  }
  items_.start();
  watched_folders_ = flags_.folders;
  for (const std::string& file : flags_.configurations) watched_folders_.push_back(folder_of(file));
  watch_.emplace(context_.loop(), [this] { folders_changed(); });
  scan();
}

/// Who holds what since the start before: told when that no longer holds. The documents say where
/// components were to be, the supervisor's file who really had them.
void ConfigCapability::recall_compartments(const Generation& last) {
  Compiled then = compile(last);
  const auto file = read_file(compartments_file_->path(), kLargestCompartmentList);
  const auto present = file ? parse_compartments(*file) : Result<std::vector<Compartment>>(file.error());
  if (present) {
    then.compartments = *present;
    for (auto& [name, audience] : then.serving) audience = capability_of(audience);
    for (const Compartment& compartment : *present) {
      for (const std::string& name : compartment.components) then.serving[name] = compartment.audience();
    }
  }
  for (const Compartment& compartment : then.compartments) audiences_[compartment.audience()];
  serving_ = std::move(then.serving);
}

/// At once, but a writer of many files does not make many scans.
void ConfigCapability::folders_changed() {
  const Nanos now = context_.loop().clock().now();
  if (now - last_scan_ >= kBetweenScans) return scan();
  next_scan_.start(Deadline::at(last_scan_ + kBetweenScans));
}

void ConfigCapability::scan() {
  const bool watched = watch_->watch(watched_folders_);
  last_scan_ = context_.loop().clock().now();
  scans_.add();
  const ResourcesFolder::Scan result = resources_->scan(last_scan_);
  publish();
  const Nanos pause = result.deletion_pending         ? kDeletionPatience
                      : result.unreadable || !watched ? kRescanUnreadable
                                                      : kRescan;
  next_scan_.start(Deadline::at(last_scan_ + pause));
}

void ConfigCapability::publish() {
  Generation documents = resources_->documents();
  if (flags_.folders.empty()) documents.components = default_documents().components;
  std::vector<Problem> problems = resources_->problems();
  Compiled compiled = compile(documents, serving_, flags_.no_compartments ? Division::kNone : Division::kAsAsked);
  problems.insert(problems.end(), compiled.problems.begin(), compiled.problems.end());
  Generation own = std::move(compiled.audiences["config"]);
  compiled.audiences.erase("config");  // stays in this process
  // Without the --config files the access rules are not known: then nobody is told anything.
  if (!resources_->complete()) return report(std::move(problems));
  for (const auto& [name, audience] : compiled.wanted) {
    const std::string& now = compiled.serving.at(name);
    const auto known = wanted_.find(name);
    if (now == audience || (known != wanted_.end() && known->second == audience)) continue;
    log(LogLevel::kInfo, fmt::format("component '{}' moves to '{}' and is served by '{}' until that one is there", name,
                                     process_of(audience), process_of(now)));
  }
  unserved_ = std::move(compiled.unserved);
  wanted_ = std::move(compiled.wanted);
  serving_ = std::move(compiled.serving);
  write_compartments(compiled.compartments);
  serve_own(std::move(own));
  // An audience that lost its last component is told so.
  for (const auto& [name, audience] : audiences_) compiled.audiences.try_emplace(name).first->second.audience = name;
  bool any = false;
  for (auto& [name, generation] : compiled.audiences) {
    const Result<bool> published = publish_to(name, std::move(generation));
    any = any || (published && *published);
    if (!published) problems.push_back({documents.configuration.origin, published.error().message});
  }
  if (any) ++sequence_;
  report(std::move(problems));
  keep(documents);
}

/// True when the audience's documents changed and it was sent the new ones.
Result<bool> ConfigCapability::publish_to(const std::string& name, Generation generation) {
  std::string content = encode(generation);
  const auto known = audiences_.find(name);
  if (known != audiences_.end()) known->second.current = known->second.content == content;
  if (known != audiences_.end() && known->second.current) return false;
  generation.term = term_;
  generation.sequence = sequence_;
  std::string snapshot = encode(generation);
  if (snapshot.size() > kMaxSnapshot) {
    return Error{Errc::kOutOfRange, fmt::format("the documents for '{}' are over the limit of {} bytes; the ones "
                                                "before stay in force",
                                                name, kMaxSnapshot)};
  }
  Audience& audience = audiences_[name];
  audience.content = std::move(content);
  audience.sequence = sequence_;
  audience.current = true;
  audience.empty = generation.components.empty();
  publications_.add();
  log(LogLevel::kInfo, fmt::format("configuration {}.{} for '{}': {} components, {} subscriptions", term_, sequence_,
                                   name, generation.components.size(), generation.subscriptions.size()));
  context_.publish_config(name, std::move(snapshot));
  context_.status_changed();
  return true;
}

/// Tells the supervisor. Whoever spoils the file has it put right at the next scan.
void ConfigCapability::write_compartments(const std::vector<Compartment>& compartments) {
  const std::string& path = compartments_file_->path();
  if (path.empty()) return;
  std::string json = to_json(compartments);
  const auto present = read_file(path, kLargestCompartmentList);
  const bool right = present ? *present == json : compartments.empty();
  if (right && (compartments_told_.empty() || compartments_told_ == json)) return;
  compartments_told_ = json;  // the file may still hold what was written before
  compartments_file_->replace(std::move(json));
}

/// The audience holds what moves to it: now requests go there, and the one before is told to let go.
void ConfigCapability::complete_moves_to(const std::string& audience) {
  bool moved = false;
  for (const auto& [name, wanted] : wanted_) {
    std::string& serving = serving_.at(name);
    if (wanted != audience || serving == audience) continue;
    serving = audience;
    moved = true;
  }
  if (moved) publish();
}

/// Configuration stores are this process's own components.
void ConfigCapability::serve_own(Generation generation) {
  std::string content = encode(generation);
  if (content == own_content_) return;
  own_content_ = std::move(content);
  items_.configure(generation);
}

/// Remembers the documents in force for the next start.
void ConfigCapability::keep(const Generation& documents) {
  if (flags_.folders.empty()) return;
  std::string bytes = encode(documents);
  if (bytes == last_documents_bytes_) return;
  last_documents_bytes_ = bytes;
  last_documents_->replace(std::move(bytes));
}

/// Says what is new, once; the list stays in metadata() until it is put right.
void ConfigCapability::report(std::vector<Problem> problems) {
  if (problems == problems_) return;
  std::size_t said = 0;
  for (const Problem& problem : problems) {
    if (std::ranges::find(problems_, problem) != problems_.end()) continue;
    if (++said > kMaxReported) continue;
    log(LogLevel::kError, fmt::format("{}: {}", place(problem.origin), problem.message));
  }
  if (said > kMaxReported) log(LogLevel::kError, fmt::format("and {} more problems", said - kMaxReported));
  if (problems.empty()) log(LogLevel::kInfo, "all resources are in order again");
  problems_ = std::move(problems);
  problem_count_.set(problems_.size());
  context_.status_changed();
}

void ConfigCapability::config_answered(const std::string& audience, std::uint64_t term, std::uint64_t sequence,
                                       const Error* refused) {
  const auto found = audiences_.find(audience);
  if (found == audiences_.end()) return;
  found->second.acknowledged_term = term;
  found->second.acknowledged = sequence;
  const std::string reason = refused == nullptr ? std::string() : refused->message;
  if (!reason.empty() && reason != found->second.refused) {
    log(LogLevel::kError, fmt::format("'{}' stays at configuration {}.{}: {}", audience, term, sequence, reason));
  }
  found->second.refused = reason;
  context_.status_changed();
  const bool in_force = reason.empty() && found->second.current && term == term_ && sequence == found->second.sequence;
  if (!in_force) return;
  if (found->second.empty && !compartment_of(audience).empty()) {
    audiences_.erase(found);  // it has let go of its last component
    return;
  }
  complete_moves_to(audience);
}

std::vector<sdk::ComponentStatus> ConfigCapability::components() const {
  std::vector<sdk::ComponentStatus> all = items_.status();
  for (const Component& component : unserved_) {
    sdk::ComponentStatus status;
    status.name = component.name;
    status.type = component.type;
    status.version = component.version;
    status.state = sdk::ComponentState::kDown;
    status.reason = fmt::format("no capability here serves type '{}'", component.type);
    status.ignore_errors = component.ignore_errors;
    status.init_failed = true;
    status.scopes = component.scopes;
    all.push_back(std::move(status));
  }
  return all;
}

std::string ConfigCapability::metadata() const {
  JsonWriter json;
  json.begin_object().key("errors").begin_array();
  for (std::size_t i = 0; i < std::min(problems_.size(), kMaxReported); ++i) {
    const Problem& problem = problems_[i];
    json.begin_object().key("file").value(problem.origin.file).key("line").value(problem.origin.line);
    json.key("message").value(problem.message).end_object();
  }
  json.end_array().key("audiences").begin_array();
  for (const auto& [name, audience] : audiences_) {
    json.begin_object().key("name").value(name).key("term").value(term_).key("sequence").value(audience.sequence);
    json.key("acknowledged");
    if (audience.acknowledged_term == 0)
      json.null();
    else
      json.value(fmt::format("{}.{}", audience.acknowledged_term, audience.acknowledged));
    if (!audience.refused.empty()) json.key("refused").value(audience.refused);
    json.end_object();
  }
  json.end_array().end_object();
  return "\"configuration\":" + json.take();
}

}  // namespace caisson::config
