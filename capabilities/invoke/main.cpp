#include "capabilities/invoke/capability.hpp"

int main(int argc, char** argv) { return caisson::sdk::run(argc, argv, "invoke", caisson::invoke::make_capability); }
