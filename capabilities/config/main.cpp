#include "capabilities/config/capability.hpp"

int main(int argc, char** argv) { return caisson::sdk::run(argc, argv, "config", caisson::config::make_config); }
