#include "capabilities/state/capability.hpp"

int main(int argc, char** argv) { return caisson::sdk::run(argc, argv, "state", caisson::state::make_state); }
