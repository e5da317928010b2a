#include "bus/shared_library.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace caisson {
namespace {

using ::testing::HasSubstr;

TEST(SharedLibraryTest, AFunctionOfALoadedLibraryCanBeCalled) {
  const auto library = SharedLibrary::load("libm.so.6");
  ASSERT_TRUE(library) << library.error().message;

  double (*root)(double) = nullptr;
  ASSERT_TRUE(library->find("sqrt", root));

  EXPECT_EQ(root(9.0), 3.0);
}

TEST(SharedLibraryTest, WhatIsMissingIsNamed) {
  const auto missing = SharedLibrary::load("libcaisson-none.so.1");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, Errc::kFailedPrecondition);
  EXPECT_THAT(missing.error().message, HasSubstr("libcaisson-none.so.1"));

  const auto library = SharedLibrary::load("libm.so.6");
  ASSERT_TRUE(library);
  const auto symbol = library->find("caisson_none");
  ASSERT_FALSE(symbol);
  EXPECT_THAT(symbol.error().message, HasSubstr("caisson_none"));
}

}  // namespace
}  // namespace caisson
