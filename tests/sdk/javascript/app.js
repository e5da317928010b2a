// An app of the JavaScript SDK. app.js HTTP|GRPC
const { CommunicationProtocolEnum, DaprPubSubStatusEnum, DaprServer, HttpMethod } = require("@dapr/dapr");
const { received } = require("./control");

const server = new DaprServer({
  serverHost: "127.0.0.1",
  serverPort: process.env.APP_PORT,
  communicationProtocol: CommunicationProtocolEnum[process.argv[2]],
  clientOptions: {
    daprHost: "127.0.0.1",
    daprPort: process.argv[2] === "GRPC" ? process.env.DAPR_GRPC_PORT : process.env.DAPR_HTTP_PORT,
  },
});
const attempts = new Map();

async function subscribe(backend) {
  const pubsub = `${backend}-pubsub`;
  await server.pubsub.subscribe(pubsub, "orders", async (data) => {
    await received("orders", data);
  });

  const routes = {
    rules: [{ match: 'event.type == "widget"', path: "/widgets" }],
    default: "/others",
  };
  await server.pubsub.subscribeWithOptions(pubsub, "routed", { route: routes });
  server.pubsub.subscribeToRoute(pubsub, "routed", "/widgets", async (data) => {
    await received("widgets", data);
  });
  server.pubsub.subscribeToRoute(pubsub, "routed", "/others", async (data) => {
    await received("others", data);
  });

  await server.pubsub.subscribe(pubsub, "flaky", async (data) => {
    attempts.set(data.id, (attempts.get(data.id) ?? 0) + 1);
    if (attempts.get(data.id) === 1) return DaprPubSubStatusEnum.RETRY;
    await received("flaky", { ...data, attempts: attempts.get(data.id) });
    return DaprPubSubStatusEnum.SUCCESS;
  });

  await server.pubsub.subscribeWithOptions(pubsub, "poison", {
    deadLetterTopic: "dead",
    callback: async () => DaprPubSubStatusEnum.DROP,
  });
  await server.pubsub.subscribe(pubsub, "dead", async (data) => {
    await received("dead", data);
  });

  await server.pubsub.subscribeBulk(
    pubsub,
    "crowd",
    async (data) => {
      await received("crowd", data);
    },
    { maxMessagesCount: 10, maxAwaitDurationMs: 50 },
  );
}

async function main() {
  for (const backend of ["embedded", "redis"]) await subscribe(backend);
  // A declared subscription delivers a CloudEvent to its route.
  await server.invoker.listen(
    "declared",
    async (request) => {
      await received("declared", JSON.parse(request.body).data);
      return { status: "SUCCESS" };
    },
    { method: HttpMethod.POST },
  );
  await server.invoker.listen("hello", async (request) => ({ hello: JSON.parse(request.body).name }), {
    method: HttpMethod.POST,
  });
  await server.start();
}

main();
