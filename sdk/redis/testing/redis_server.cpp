#include "sdk/redis/testing/redis_server.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <hiredis/hiredis.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <sstream>

namespace caisson::redis::testing {

namespace {

constexpr auto kPatience = std::chrono::seconds(20);

[[noreturn]] void give_up(const std::string& what) {
  std::fprintf(stderr, "redis_server: %s\n", what.c_str());
  std::abort();
}

std::uint16_t free_port() {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  const bool found = fd >= 0 && ::bind(fd, reinterpret_cast<sockaddr*>(&address), size) == 0 &&
                     ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0;
  if (fd >= 0) ::close(fd);
  if (!found) give_up("no free port");
  return ntohs(address.sin_port);
}

std::string text_of(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

void shell(const std::string& command) {
  if (std::system(command.c_str()) != 0) give_up("failed: " + command);
}

Reply copy_of(const redisReply& from) {
  Reply to;
  switch (from.type) {
    case REDIS_REPLY_NIL:
      break;
    case REDIS_REPLY_INTEGER:
      to.kind = ReplyKind::kInteger;
      to.integer = from.integer;
      break;
    case REDIS_REPLY_ARRAY:
      to.kind = ReplyKind::kArray;
      for (std::size_t i = 0; i < from.elements; ++i) to.items.push_back(copy_of(*from.element[i]));
      break;
    default:
      to.kind = from.type == REDIS_REPLY_ERROR    ? ReplyKind::kError
                : from.type == REDIS_REPLY_STATUS ? ReplyKind::kStatus
                                                  : ReplyKind::kString;
      to.text.assign(from.str, from.len);
  }
  return to;
}

struct FreeContext {
  void operator()(redisContext* context) const { redisFree(context); }
};
using Context = std::unique_ptr<redisContext, FreeContext>;

Context connect_to(std::uint16_t port) {
  const timeval patience{20, 0};
  Context context(redisConnectWithTimeout("127.0.0.1", port, patience));
  if (context != nullptr && context->err == 0) redisSetTimeout(context.get(), patience);
  return context;
}

/// Null when there is no answer.
std::unique_ptr<Reply> ask(redisContext& context, const std::vector<std::string>& words) {
  std::vector<const char*> texts;
  std::vector<std::size_t> sizes;
  for (const std::string& word : words) {
    texts.push_back(word.data());
    sizes.push_back(word.size());
  }
  auto* const raw =
      static_cast<redisReply*>(redisCommandArgv(&context, static_cast<int>(words.size()), texts.data(), sizes.data()));
  if (raw == nullptr) return nullptr;
  auto reply = std::make_unique<Reply>(copy_of(*raw));
  freeReplyObject(raw);
  return reply;
}

}  // namespace

RedisServer::RedisServer(Options options) : options_(std::move(options)) {
  if (options_.tls) make_certificates();
  // A free port may be taken by somebody else before the server has it.
  for (int attempt = 0; attempt < 20; ++attempt) {
    port_ = free_port();
    tls_port_ = options_.tls ? free_port() : 0;
    write_configuration();
    if (try_to_start()) return;
  }
  give_up("redis-server does not start:\n" + text_of(path_of("log")));
}

RedisServer::~RedisServer() { kill(); }

Settings RedisServer::settings() const {
  Settings settings;
  settings.addresses = {{"127.0.0.1", port_}};
  settings.password = options_.password;
  return settings;
}

Settings RedisServer::tls_settings() const {
  Settings settings = this->settings();
  settings.addresses = {{"127.0.0.1", tls_port_}};
  settings.tls = true;
  return settings;
}

Reply RedisServer::command(std::vector<std::string> words, std::uint32_t database) {
  const Context context = connect_to(port_);
  if (context == nullptr || context->err != 0) give_up("cannot connect");
  if (!options_.password.empty()) ask(*context, {"AUTH", options_.password});
  if (database != 0) ask(*context, {"SELECT", std::to_string(database)});
  const auto reply = ask(*context, words);
  if (reply == nullptr) give_up("no answer to " + words.front());
  return std::move(*reply);
}

void RedisServer::kill() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

void RedisServer::pause() { ::kill(pid_, SIGSTOP); }
void RedisServer::resume() { ::kill(pid_, SIGCONT); }

void RedisServer::start() {
  const auto until = std::chrono::steady_clock::now() + kPatience;
  while (!try_to_start()) {
    if (std::chrono::steady_clock::now() > until) {
      give_up("redis-server does not start again:\n" + text_of(path_of("log")));
    }
  }
}

void RedisServer::restart() {
  kill();
  start();
}

void RedisServer::write_configuration() {
  std::ofstream file(path_of("redis.conf"), std::ios::trunc);
  file << "bind 127.0.0.1\nport " << port_ << "\ndir " << directory_.path().string() << "\nlogfile " << path_of("log")
       << "\ndaemonize no\nprotected-mode no\n";
  if (options_.sentinel_of != 0) {
    file << "sentinel monitor mymaster 127.0.0.1 " << options_.sentinel_of << " 1\n"
         << "sentinel down-after-milliseconds mymaster 500\nsentinel failover-timeout mymaster 2000\n";
  } else {
    file << "save \"\"\nrepl-diskless-sync-delay 0\n";
    if (options_.append_only) file << "appendonly yes\nappendfsync always\n";
    if (options_.replica_of != 0) {
      file << "replicaof 127.0.0.1 " << options_.replica_of << '\n';
      if (!options_.password.empty()) file << "masterauth " << options_.password << '\n';
    }
  }
  if (!options_.password.empty()) file << "requirepass " << options_.password << '\n';
  for (const std::string& user : options_.users) file << user << '\n';
  if (options_.tls) {
    file << "tls-port " << tls_port_ << "\ntls-ca-cert-file " << authority_file() << "\ntls-cert-file "
         << path_of("server.crt") << "\ntls-key-file " << path_of("server.key") << "\ntls-auth-clients "
         << (options_.tls_needs_client_certificate ? "yes" : "no") << '\n';
  }
  for (const std::string& line : options_.lines) file << line << '\n';
}

void RedisServer::make_certificates() {
  {
    std::ofstream names(path_of("names"));
    names << "subjectAltName=DNS:localhost,IP:127.0.0.1\n";
  }
  const std::string in_directory = fmt::format("cd '{}' && exec 2>>openssl.log && ", directory_.path().string());
  const std::string key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
  shell(in_directory + "openssl req -x509 " + key + " -keyout ca.key -out ca.crt -days 2 -subj /CN=test-authority");
  for (const std::string name : {"server", "client"}) {
    shell(in_directory + fmt::format("openssl req {0} -keyout {1}.key -out {1}.csr -subj /CN={1}", key, name));
    shell(in_directory + fmt::format("openssl x509 -req -in {0}.csr -CA ca.crt -CAkey ca.key -CAcreateserial "
                                     "-out {0}.crt -days 2 -extfile names",
                                     name));
  }
}

bool RedisServer::try_to_start() {
  const std::string configuration = path_of("redis.conf");
  const pid_t parent = ::getpid();
  pid_ = ::fork();
  if (pid_ == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(1);
    const int null = ::open("/dev/null", O_RDWR);
    ::dup2(null, 0);
    ::dup2(null, 1);
    if (options_.sentinel_of != 0) {
      ::execlp("redis-server", "redis-server", configuration.c_str(), "--sentinel", nullptr);
    } else {
      ::execlp("redis-server", "redis-server", configuration.c_str(), nullptr);
    }
    ::_exit(127);
  }
  if (pid_ < 0) give_up("cannot fork");
  const auto until = std::chrono::steady_clock::now() + kPatience;
  while (!answers()) {
    if (::waitpid(pid_, nullptr, WNOHANG) == pid_) {
      pid_ = -1;
      return false;
    }
    if (std::chrono::steady_clock::now() > until) give_up("redis-server does not answer");
    ::poll(nullptr, 0, 2);
  }
  return true;
}

/// Whether it is this server that answers, its data loaded: another may have got the port.
bool RedisServer::answers() const {
  const Context context = connect_to(port_);
  if (context == nullptr || context->err != 0) return false;
  if (!options_.password.empty()) ask(*context, {"AUTH", options_.password});
  const auto info = ask(*context, {"INFO"});
  if (info == nullptr || info->is_error()) return false;
  return info->text.find(fmt::format("process_id:{}\r", pid_)) != std::string::npos &&
         info->text.find("\r\nloading:1\r") == std::string::npos;
}

}  // namespace caisson::redis::testing
