// Every capability by the JavaScript SDK, as its documentation shows it. client.js HTTP|GRPC BACKEND
const assert = require("node:assert/strict");
const { randomUUID } = require("node:crypto");
const { CommunicationProtocolEnum, DaprClient, HttpMethod } = require("@dapr/dapr");
const { changeConfiguration, waitForEvent } = require("./control");

const [protocol, backend] = process.argv.slice(2);
const [STATE, PUBSUB, CONFIG, LOCK] = ["state", "pubsub", "config", "lock"].map((part) => `${backend}-${part}`);
const client = new DaprClient({
  daprHost: "127.0.0.1",
  daprPort: protocol === "GRPC" ? process.env.DAPR_GRPC_PORT : process.env.DAPR_HTTP_PORT,
  communicationProtocol: CommunicationProtocolEnum[protocol],
});

const event = (more) => ({ id: randomUUID(), ...more });

/** Some methods of this SDK reject, others answer with an error. */
async function refused(action) {
  let answer;
  try {
    answer = await action();
  } catch {
    return;
  }
  assert.ok(answer?.error, "was not refused");
}

async function publishTo(topic, data, options) {
  const answer = await client.pubsub.publish(PUBSUB, topic, data, options);
  assert.equal(answer.error, undefined);
}

const scenarios = {
  async sidecar() {
    await client.start(); // waits for the sidecar
  },

  async state() {
    await client.state.save(STATE, [{ key: "cart", value: { items: 3 } }]);
    assert.deepEqual(await client.state.get(STATE, "cart"), { items: 3 });
    await client.state.delete(STATE, "cart");
    assert.equal(await client.state.get(STATE, "cart"), "");
  },

  async state_etags() {
    await client.state.save(STATE, [{ key: "etag", value: "v1" }]);
    const [first] = await client.state.getBulk(STATE, ["etag"]);
    const options = { concurrency: 1, consistency: 2 }; // first write wins, strong
    const saved = await client.state.save(STATE, [{ key: "etag", value: "v2", etag: first.etag, options }]);
    assert.equal(saved.error, undefined);
    await refused(() => client.state.save(STATE, [{ key: "etag", value: "v3", etag: first.etag, options }]));
    await refused(() => client.state.delete(STATE, "etag", { etag: first.etag }));
    assert.equal(await client.state.get(STATE, "etag"), "v2");
  },

  async state_bulk() {
    await client.state.save(STATE, [0, 1, 2, 3, 4].map((i) => ({ key: `b${i}`, value: `${i}` })));
    const items = await client.state.getBulk(STATE, ["b0", "b4", "none"]);
    assert.deepEqual(
      items.slice(0, 2).map((item) => String(item.data)),
      ["0", "4"],
    );
  },

  async state_transaction() {
    await client.state.save(STATE, [{ key: "t2", value: "old" }]);
    await client.state.transaction(STATE, [
      { operation: "upsert", request: { key: "t1", value: "one" } },
      { operation: "delete", request: { key: "t2" } },
    ]);
    assert.equal(await client.state.get(STATE, "t1"), "one");
    assert.equal(await client.state.get(STATE, "t2"), "");
  },

  async publish() {
    const data = event({ total: 17 });
    await publishTo("orders", data);
    assert.equal((await waitForEvent("orders", data.id)).total, 17);
  },

  async declared_subscription() {
    const data = event();
    await publishTo("declared", data);
    await waitForEvent("declared", data.id);
  },

  async routing() {
    const [widget, other] = [event(), event()];
    await publishTo("routed", widget, { metadata: { "cloudevent.type": "widget" } });
    await publishTo("routed", other);
    await waitForEvent("widgets", widget.id);
    await waitForEvent("others", other.id);
  },

  async retry() {
    const data = event();
    await publishTo("flaky", data);
    assert.equal((await waitForEvent("flaky", data.id)).attempts, 2);
  },

  async dead_letter() {
    const data = event();
    await publishTo("poison", data);
    await waitForEvent("dead", data.id);
  },

  async bulk_publish() {
    const events = [event({ n: 0 }), event({ n: 1 }), event({ n: 2 })];
    const answer = await client.pubsub.publishBulk(PUBSUB, "orders", events);
    assert.deepEqual(answer.failedMessages, []);
    for (const one of events) await waitForEvent("orders", one.id);
  },

  async bulk_subscription() {
    const events = [event(), event(), event()];
    for (const one of events) await publishTo("crowd", one);
    for (const one of events) await waitForEvent("crowd", one.id);
  },

  async invoke() {
    const answer = await client.invoker.invoke("sdk", "hello", HttpMethod.POST, { name: "ada" });
    const document = typeof answer === "string" ? JSON.parse(answer) : answer;
    assert.deepEqual(document, { hello: "ada" });
  },

  async invoke_error() {
    await assert.rejects(client.invoker.invoke("sdk", "no-such-method", HttpMethod.POST, {}));
  },

  async secrets() {
    assert.deepEqual({ ...(await client.secret.get("secrets", "db-password")) }, { "db-password": "correct horse" });
    const bulk = await client.secret.getBulk("secrets");
    assert.deepEqual({ ...bulk["api-key"] }, { "api-key": "k-17" });
  },

  async configuration() {
    const { items } = await client.configuration.get(CONFIG, ["size"]);
    assert.equal(items.size.value, "7");
  },

  async configuration_updates() {
    // subscribeWithKeys() returns before the runtime knows of it: a change is made until one is heard of.
    const prefix = `blue-${randomUUID()}`;
    let heard = false;
    const stream = await client.configuration.subscribeWithKeys(CONFIG, ["color"], async (update) => {
      heard ||= update.items.color?.value.startsWith(prefix) ?? false;
    });
    const tooLate = Date.now() + 30000;
    for (let n = 0; !heard; n++) {
      assert.ok(Date.now() < tooLate, "no update came");
      await changeConfiguration(backend, "color", `${prefix}-${n}`);
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    await stream.stop();
  },

  async lock() {
    assert.equal((await client.lock.lock(LOCK, "printer", "ada", 60)).success, true);
    assert.equal((await client.lock.lock(LOCK, "printer", "bob", 60)).success, false);
    assert.equal((await client.lock.unlock(LOCK, "printer", "bob")).status, 2); // belongs to others
    assert.equal((await client.lock.unlock(LOCK, "printer", "ada")).status, 0);
    assert.equal((await client.lock.unlock(LOCK, "printer", "ada")).status, 1); // does not exist
  },

  async metadata() {
    assert.equal(await client.metadata.set("build", "17"), true);
    const metadata = await client.metadata.get();
    assert.equal(metadata.id, "sdk");
    assert.ok(metadata.components.some((component) => component.name === STATE));
  },
};

async function main() {
  for (const name of process.env.SCENARIOS.split(",")) {
    try {
      await scenarios[name]();
      console.log(`ok ${name}`);
    } catch (error) {
      console.error(error);
      console.log(`failed ${name}: ${String(error).replaceAll("\n", " ")}`);
    }
  }
  await client.stop();
  process.exit(0);
}

main();
