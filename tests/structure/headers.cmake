# Target `headers_compile_alone`: every header of ours as a translation unit of its own, so that each can
# be used without knowing what to include before it. Part of the default build of the release preset.
# Objects, not -fsyntax-only: the compiler cache keeps objects alone.
file(GLOB_RECURSE headers CONFIGURE_DEPENDS RELATIVE "${CMAKE_SOURCE_DIR}"
  "${CMAKE_SOURCE_DIR}/bus/*.hpp" "${CMAKE_SOURCE_DIR}/net/*.hpp" "${CMAKE_SOURCE_DIR}/config-cache/*.hpp" "${CMAKE_SOURCE_DIR}/sdk/*.hpp"
  "${CMAKE_SOURCE_DIR}/capabilities/*.hpp" "${CMAKE_SOURCE_DIR}/gateway/*.hpp" "${CMAKE_SOURCE_DIR}/in-process/*.hpp"
  "${CMAKE_SOURCE_DIR}/cli/*.hpp")
set(units)
foreach(header IN LISTS headers)
  string(REPLACE "/" "__" name "${header}")
  set(unit "${CMAKE_BINARY_DIR}/generated/headers/${name}.cpp")
  file(GENERATE OUTPUT "${unit}" CONTENT "#include \"${header}\"\n")
  list(APPEND units "${unit}")
endforeach()
add_library(headers_compile_alone OBJECT ${units})
target_link_libraries(headers_compile_alone PRIVATE
  caisson_bus caisson_config_cache caisson_sdk PkgConfig::SQLITE PkgConfig::YAMLCPP PkgConfig::PROMETHEUS
  caisson_proto_configuration caisson_proto_invoke caisson_proto_lock caisson_proto_metadata caisson_proto_pubsub
  caisson_proto_reflection caisson_proto_secret caisson_proto_state
  GTest::gtest)
target_compile_options(headers_compile_alone PRIVATE -O0 -g0)
