#include "capabilities/pubsub/capability.hpp"

int main(int argc, char** argv) { return caisson::sdk::run(argc, argv, "pubsub", caisson::pubsub::make_pubsub); }
