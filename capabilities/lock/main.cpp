#include "capabilities/lock/capability.hpp"

int main(int argc, char** argv) { return caisson::sdk::run(argc, argv, "lock", caisson::lock::make_lock); }
