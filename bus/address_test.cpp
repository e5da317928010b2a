#include "bus/address.hpp"

#include <gtest/gtest.h>

#include <string>

namespace caisson {
namespace {

TEST(AddressTest, EverySchemeIsReadAndWrittenBack) {
  for (const std::string text : {"inproc://gateway", "ipc:///run/bus/state/ctl.sock", "tcp://127.0.0.1:7001",
                                 "tcp://[::1]:7001", "tcp://*:0", "tcp://state.local:*", "shm:///run/bus/x"}) {
    const auto address = parse_address(text);
    ASSERT_TRUE(address) << text;
    EXPECT_EQ(address->text(), text);
  }
}

TEST(AddressTest, OnlyTcpMayLeaveTheHost) {
  EXPECT_FALSE(parse_address("tcp://localhost:1")->same_host());
  EXPECT_TRUE(parse_address("ipc:///x")->same_host());
}

TEST(AddressTest, WhatIsNoAddressIsRefusedByName) {
  const std::string long_path = "ipc:///" + std::string(108, 'p');
  const std::string zero = std::string("ipc:///a\0b", 10);
  for (const std::string& text :
       {std::string(), std::string("state"), std::string("ipc://"), std::string("ipc:///../") + std::string(120, 'x'),
        std::string("ipc://@abstract"), std::string("tcp://host"), std::string("tcp://:80"), std::string("tcp://host:"),
        std::string("tcp://host:65536"), std::string("tcp://host:-1"), std::string("tcp://host:80x"),
        std::string("tcp://a:b:80"), std::string("tcp://a b:80"), std::string("http://host:80"),
        std::string("IPC:///x"), long_path, zero}) {
    const auto address = parse_address(text);
    ASSERT_FALSE(address) << text;
    EXPECT_EQ(address.error().code, Errc::kInvalidArgument);
    EXPECT_NE(address.error().message.find('"' + text + '"'), std::string::npos);
  }
}

}  // namespace
}  // namespace caisson
