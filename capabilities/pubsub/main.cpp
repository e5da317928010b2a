#include "capabilities/pubsub/capability.hpp"

int main(int argc, char** argv) {
  using namespace caisson;
  return sdk::run(argc, argv, "pubsub", [](sdk::Context& context) {
    return std::make_unique<pubsub::PubsubCapability>(context, std::chrono::system_clock::now);
  });
}
