#include <memory>

#include "capabilities/config/capability.hpp"
#include "sdk/capability.hpp"

int main(int argc, char** argv) {
  return caisson::sdk::run(argc, argv, "config", [](caisson::sdk::Context& context) {
    return std::make_unique<caisson::config::ConfigCapability>(context);
  });
}
