#include "gateway/server.hpp"

int main(int argc, char** argv) { return caisson::gateway::run(argc, argv, {}); }
