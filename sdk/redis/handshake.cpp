#include "sdk/redis/handshake.hpp"

#include <fmt/format.h>

#include <charconv>

#include "sdk/redis/reply_errors.hpp"

namespace caisson::redis {

namespace {

/// A server that does not know AUTH repeats its arguments in its answer.
std::string without(std::string text, const std::string& secret) {
  if (secret.empty()) return text;
  for (std::size_t at = text.find(secret); at != std::string::npos; at = text.find(secret, at)) {
    text.replace(at, secret.size(), "***");
    at += 3;
  }
  return text;
}

Error about(const Address& address, const Error& error) {
  return {Errc::kUnavailable, fmt::format("{}:{}: {}", address.host, address.port, error.message)};
}

Error unusable(std::string message) { return {Errc::kUnavailable, std::move(message)}; }

}  // namespace

Task<Result<std::unique_ptr<Connection>>> Handshake::connect(Connection::Options options) {
  if (settings_.tls && !tls_) {
    CO_ASSIGN(tls_, net::TlsContext::make(settings_.tls_options));
  }
  Address address = settings_.addresses.front();
  if (!settings_.sentinel_master.empty()) {
    auto finding = find_master();
    CO_ASSIGN(address, co_await std::move(finding));
  }
  Login login{settings_.username, settings_.password, settings_.database};
  const Deadline deadline = loop_.deadline_in(settings_.dial_timeout);
  auto opening = open(address, std::move(login), std::move(options), deadline);
  auto connection = co_await std::move(opening);
  if (!connection) co_return about(address, connection.error());
  auto looking = look_whether_it_serves(**connection, deadline);
  auto serves = co_await std::move(looking);
  if (!serves) co_return about(address, serves.error());
  co_return connection;
}

/// The first sentinel that knows the master decides, as in other clients.
Task<Result<Address>> Handshake::find_master() {
  Error last = unusable("no sentinel is named");
  for (std::size_t i = 0; i < settings_.addresses.size(); ++i) {
    auto asking = ask_sentinel(settings_.addresses[i]);
    auto master = co_await std::move(asking);
    if (master) co_return master;
    last = about(settings_.addresses[i], master.error());
    last.message = "sentinel " + last.message;
  }
  co_return last;
}

Task<Result<Address>> Handshake::ask_sentinel(Address sentinel) {
  const Deadline deadline = loop_.deadline_in(settings_.dial_timeout);
  Connection::Options options;
  options.read_timeout = options.ping_after = settings_.dial_timeout;
  Login login{settings_.sentinel_username, settings_.sentinel_password, 0};
  auto opening = open(std::move(sentinel), std::move(login), std::move(options), deadline);
  CO_ASSIGN(auto connection, co_await std::move(opening));

  Command question{"SENTINEL", "GET-MASTER-ADDR-BY-NAME", settings_.sentinel_master};
  auto asking = connection->ask(std::move(question), deadline);
  CO_ASSIGN(const Reply reply, co_await std::move(asking));
  if (reply.is_error()) co_return unusable(reply.text);
  if (reply.items.size() != 2) {
    co_return unusable(fmt::format("knows no master '{}'", settings_.sentinel_master));
  }
  Address master{reply.items[0].text, 0};
  const std::string& port = reply.items[1].text;
  std::from_chars(port.data(), port.data() + port.size(), master.port);
  if (master.host.empty() || master.port == 0) co_return unusable("gives no address of the master");
  co_return master;
}

Task<Result<std::unique_ptr<Connection>>> Handshake::open(Address address, Login login, Connection::Options options,
                                                          Deadline deadline) {
  auto connecting = open_stream(std::move(address), deadline);
  CO_ASSIGN(auto stream, co_await std::move(connecting));
  auto connection = std::make_unique<Connection>(loop_, std::move(stream), std::move(options));
  auto logging_in = log_in(*connection, std::move(login), deadline);
  CO_TRY(co_await std::move(logging_in));
  co_return connection;
}

Task<Result<std::unique_ptr<net::TcpStream>>> Handshake::open_stream(Address address, Deadline deadline) {
  const std::string host = address.host;
  auto looking = net::find_endpoints(loop_, host, address.port, deadline);
  CO_ASSIGN(const std::vector<net::Endpoint> endpoints, co_await std::move(looking));
  Error last;
  for (std::size_t i = 0; i < endpoints.size(); ++i) {
    std::unique_ptr<net::TlsSession> tls;
    if (tls_) {
      CO_ASSIGN(tls, tls_->session(host));
    }
    auto connecting = net::TcpStream::connect(loop_, endpoints[i], std::move(tls), deadline);
    auto stream = co_await std::move(connecting);
    if (stream) co_return stream;
    last = std::move(stream).error();
  }
  co_return last;
}

Task<Result<void>> Handshake::log_in(Connection& connection, Login login, Deadline deadline) {
  if (!login.password.empty() || !login.username.empty()) {
    Command command{"AUTH"};
    if (!login.username.empty()) command.add(login.username);
    command.add(login.password);
    auto asking = connection.ask(std::move(command), deadline);
    CO_ASSIGN(const Reply reply, co_await std::move(asking));
    if (reply.is_error()) co_return unusable("AUTH refused: " + without(reply.text, login.password));
  }
  if (login.database != 0) {
    Command command{"SELECT"};
    command.add(std::int64_t{login.database});
    auto asking = connection.ask(std::move(command), deadline);
    CO_ASSIGN(const Reply reply, co_await std::move(asking));
    if (reply.is_error()) co_return unusable(fmt::format("SELECT {}: {}", login.database, reply.text));
  }
  co_return ok();
}

/// A server that loads its data accepts connections, and a former master may still believe it is one
/// when the sentinels have chosen another; ROLE says what it is now.
Task<Result<void>> Handshake::look_whether_it_serves(Connection& connection, Deadline deadline) {
  auto pinging = connection.ask(Command{"PING"}, deadline);
  CO_ASSIGN(const Reply pong, co_await std::move(pinging));
  if (pong.is_error() && refusal_of(pong)) co_return unusable(pong.text);
  if (settings_.sentinel_master.empty()) co_return ok();

  auto asking = connection.ask(Command{"ROLE"}, deadline);
  CO_ASSIGN(const Reply role, co_await std::move(asking));
  // A user who may not ask (NOPERM) finds out by READONLY.
  if (role.is_error() || role.items.empty()) co_return ok();
  if (role.items[0].text != "master") co_return unusable("is a " + role.items[0].text + " and not the master");
  co_return ok();
}

}  // namespace caisson::redis
