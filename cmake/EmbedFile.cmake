# cmake -DNAME=... -DIN=FILE -DOUT=STEM -P EmbedFile.cmake: writes STEM.cpp and STEM.hpp with the function
# caisson::NAME(), which gives the bytes of FILE.
file(READ "${IN}" bytes HEX)
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
file(WRITE "${OUT}.hpp" "#pragma once

#include <string_view>

namespace caisson {

std::string_view ${NAME}();

}  // namespace caisson
")
file(WRITE "${OUT}.cpp" "#include <string_view>

namespace {

constexpr unsigned char kBytes[] = {${bytes}};

}  // namespace

namespace caisson {

std::string_view ${NAME}() { return {reinterpret_cast<const char*>(kBytes), sizeof kBytes}; }

}  // namespace caisson
")
