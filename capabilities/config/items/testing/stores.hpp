#pragma once

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "bus/json_writer.hpp"
#include "bus/testing/run.hpp"
#include "bus/testing/temporary_directory.hpp"
#include "capabilities/config/items/local_file_store.hpp"
#include "capabilities/config/items/redis_store.hpp"
#include "sdk/redis/testing/redis_server.hpp"

namespace caisson::items::testing {

/// Where a backend keeps its items, with a way to change them from outside.
class Backend {
 public:
  virtual ~Backend() = default;
  virtual std::shared_ptr<Store> open(EventLoop& loop) = 0;
  virtual void put(const std::string& key, const std::string& value, const std::string& version) = 0;
  virtual void erase(const std::string& key) = 0;
  virtual void put_all(const Items& items) = 0;
  /// More items than allowed do not even get in.
  [[nodiscard]] virtual bool refuses_to_hold_too_much() const = 0;
};
using MakeBackend = std::unique_ptr<Backend> (*)();

class LocalFileBackend final : public Backend {
 public:
  LocalFileBackend() { write(); }

  std::shared_ptr<Store> open(EventLoop& loop) override {
    auto store = LocalFileStore::open(loop, {file_.string(), {}});
    if (!store) std::abort();
    return *std::move(store);
  }
  void put(const std::string& key, const std::string& value, const std::string& version) override {
    // A version has no separator here; what Redis would cut off is cut off here too.
    items_[key] = {value, version.substr(0, version.find("||")), {}};
    write();
  }
  void erase(const std::string& key) override {
    items_.erase(key);
    write();
  }
  void put_all(const Items& items) override {
    items_ = items;
    write();
  }
  [[nodiscard]] bool refuses_to_hold_too_much() const override { return true; }

 private:
  void write() const {
    JsonWriter json;
    json.begin_object();
    for (const auto& [key, item] : items_) {
      json.key(key).begin_object().key("value").value(item.value).key("version").value(item.version).end_object();
    }
    json.end_object();
    const std::filesystem::path next = directory_.path() / "next";
    std::ofstream(next, std::ios::trunc | std::ios::binary) << json.text();
    std::filesystem::rename(next, file_);
  }

  caisson::testing::TemporaryDirectory directory_;
  std::filesystem::path file_ = directory_.path() / "items.json";
  Items items_;
};

class RedisBackend final : public Backend {
 public:
  std::shared_ptr<Store> open(EventLoop& loop) override {
    auto store = std::make_shared<RedisStore>(loop, RedisStore::Options{server_.settings()}, [] {});
    if (!caisson::testing::run(loop, store->ready(loop.deadline_in(std::chrono::seconds(20))))) std::abort();
    return store;
  }
  void put(const std::string& key, const std::string& value, const std::string& version) override {
    server_.command({"SET", key, version.empty() ? value : value + "||" + version});
  }
  void erase(const std::string& key) override { server_.command({"DEL", key}); }
  void put_all(const Items& items) override {
    std::vector<std::string> words{"MSET"};
    for (const auto& [key, item] : items) {
      words.push_back(key);
      words.push_back(item.value);
    }
    server_.command(std::move(words));
  }
  [[nodiscard]] bool refuses_to_hold_too_much() const override { return false; }

 private:
  redis::testing::RedisServer server_;
};

inline std::unique_ptr<Backend> make_redis() { return std::make_unique<RedisBackend>(); }
inline std::unique_ptr<Backend> make_local_file() { return std::make_unique<LocalFileBackend>(); }

}  // namespace caisson::items::testing
