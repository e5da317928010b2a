#include "capabilities/secrets/capability.hpp"

int main(int argc, char** argv) {
  caisson::secrets::forbid_dumps();
  return caisson::sdk::run(argc, argv, "secrets", caisson::secrets::make_capability);
}
