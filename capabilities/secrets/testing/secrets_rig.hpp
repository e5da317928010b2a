#pragma once

#include <gtest/gtest.h>

#include <fstream>

#include "bus/testing/temporary_directory.hpp"
#include "capabilities/secrets/capability.hpp"
#include "sdk/testing/fake_gateway.hpp"

namespace caisson::secrets::testing {

/// The capability behind a gateway that the test plays, with one file store `vault`.
class SecretsRig : public ::testing::Test {
 protected:
  SecretsRig() {
    write(R"({"db":{"password":"canary-7f3a"},"plain":"p"})");
    gateway_.set_app("shop");
    generation_.components.push_back(store("vault", "secretstores.local.file", file_.string()));
  }

  void write(const std::string& text) { std::ofstream(file_, std::ios::trunc) << text; }

  static config::Component store(const std::string& name, const std::string& type, const std::string& file = {}) {
    config::Component component;
    component.name = name;
    component.type = type;
    component.version = "v1";
    component.origin = {"resources/" + name + ".yaml", 1};
    config::MetadataItem item;
    item.name = "secretsFile";
    item.value = file;
    component.metadata.push_back(item);
    return component;
  }

  void configure() { ASSERT_EQ(gateway_.configure(generation_), ""); }

  caisson::testing::Answer get(const std::string& path) {
    caisson::testing::Ask ask;
    ask.path = path;
    return gateway_.ask(ask);
  }

  caisson::testing::TemporaryDirectory directory_;
  std::filesystem::path file_ = directory_.path() / "secrets.json";
  SystemClock clock_;
  EventLoop loop_{clock_};
  caisson::testing::FakeGateway gateway_{loop_, "secrets", make_capability};
  config::Generation generation_;
};

}  // namespace caisson::secrets::testing
