package sdktest;

import io.dapr.client.DaprClient;
import io.dapr.client.DaprClientBuilder;
import io.dapr.client.DaprPreviewClient;
import io.dapr.client.domain.HttpExtension;
import io.dapr.client.domain.State;
import io.dapr.client.domain.TransactionalStateOperation;
import io.dapr.client.domain.UnlockResponseStatus;
import io.dapr.exceptions.DaprException;
import io.dapr.utils.TypeRef;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.UUID;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import reactor.core.Disposable;

/** Every capability by the Java SDK, as its documentation shows it. Argument: the backend. */
public final class Client {
  private static final int PATIENCE_SECONDS = 30;
  private final DaprClient dapr;
  private final DaprPreviewClient preview;
  private final String backend;
  private final String state;
  private final String pubsub;
  private final String config;
  private final String lock;

  /** One thing that must work. */
  interface Scenario {
    void run() throws Exception;
  }

  private Client(DaprClient dapr, DaprPreviewClient preview, String backend) {
    this.dapr = dapr;
    this.preview = preview;
    this.backend = backend;
    state = backend + "-state";
    pubsub = backend + "-pubsub";
    config = backend + "-config";
    lock = backend + "-lock";
  }

  private static void equal(Object got, Object expected) {
    if (!Objects.equals(got, expected)) {
      throw new AssertionError(got + " is not " + expected);
    }
  }

  private static void refused(String code, Scenario action) throws Exception {
    try {
      action.run();
    } catch (DaprException error) {
      equal(error.getErrorCode(), code);
      return;
    }
    throw new AssertionError("was not refused with " + code);
  }

  private <T> T value(String key, Class<T> type) {
    return dapr.getState(state, key, type).block().getValue();
  }

  private Event arrives(String topic, String name, Map<String, String> metadata) throws Exception {
    Event event = new Event();
    event.total = 17;
    dapr.publishEvent(pubsub, topic, event, metadata).block();
    return Control.waitForEvent(name, event.id);
  }

  private void state() {
    dapr.saveState(state, "cart", Map.of("items", 3)).block();
    equal(dapr.getState(state, "cart", new TypeRef<Map<String, Integer>>() {}).block().getValue(), Map.of("items", 3));
    dapr.deleteState(state, "cart").block();
    equal(value("cart", String.class), null);
  }

  private void stateEtags() throws Exception {
    dapr.saveState(state, "etag", "v1").block();
    String first = dapr.getState(state, "etag", String.class).block().getEtag();
    dapr.saveState(state, "etag", first, "v2", null).block();
    refused("ABORTED", () -> dapr.saveState(state, "etag", first, "v3", null).block());
    refused("ABORTED", () -> dapr.deleteState(state, "etag", first, null).block());
    equal(value("etag", String.class), "v2");
  }

  private void stateBulk() {
    List<State<?>> items = new ArrayList<>();
    for (int i = 0; i < 5; i++) {
      items.add(new State<>("b" + i, String.valueOf(i), ""));
    }
    dapr.saveBulkState(state, items).block();
    Map<String, String> got = dapr.getBulkState(state, List.of("b0", "b4", "none"), String.class).block().stream()
        .collect(Collectors.toMap(State::getKey, item -> String.valueOf(item.getValue())));
    equal(got.get("b0"), "0");
    equal(got.get("b4"), "4");
  }

  private void stateTransaction() {
    dapr.saveState(state, "t2", "old").block();
    List<TransactionalStateOperation<?>> operations = List.of(
        new TransactionalStateOperation<>(
            TransactionalStateOperation.OperationType.UPSERT, new State<>("t1", "one", "")),
        new TransactionalStateOperation<>(TransactionalStateOperation.OperationType.DELETE, new State<>("t2")));
    dapr.executeStateTransaction(state, operations).block();
    equal(value("t1", String.class), "one");
    equal(value("t2", String.class), null);
  }

  private void publish() throws Exception {
    equal(arrives("orders", "orders", Map.of()).total, 17);
  }

  private void declaredSubscription() throws Exception {
    arrives("declared", "declared", Map.of());
  }

  private void routing() throws Exception {
    arrives("routed", "widgets", Map.of("cloudevent.type", "widget"));
    arrives("routed", "others", Map.of());
  }

  private void retry() throws Exception {
    equal(arrives("flaky", "flaky", Map.of()).attempts, 2);
  }

  private void deadLetter() throws Exception {
    arrives("poison", "dead", Map.of());
  }

  private void bulkPublish() throws Exception {
    List<Event> events = List.of(new Event(), new Event(), new Event());
    var answer = preview.publishEvents(pubsub, "orders", "application/json", events).block();
    equal(answer.getFailedEntries().size(), 0);
    for (Event event : events) {
      Control.waitForEvent("orders", event.id);
    }
  }

  private void streamingWithAHandler() throws Exception {
    BlockingQueue<Event> got = new LinkedBlockingQueue<>();
    Disposable subscription =
        preview.subscribeToEvents(pubsub, "handled", TypeRef.get(Event.class)).subscribe(got::add);
    Event event = new Event();
    dapr.publishEvent(pubsub, "handled", event).block();
    Event first = got.poll(PATIENCE_SECONDS, TimeUnit.SECONDS);
    equal(first == null ? null : first.id, event.id);
    subscription.dispose();
  }

  private void invoke() {
    var answer = dapr.invokeMethod(
        "sdk", "hello", Map.of("name", "ada"), HttpExtension.POST, new TypeRef<Map<String, String>>() {});
    equal(answer.block(), Map.of("hello", "ada"));
  }

  private void invokeError() {
    try {
      dapr.invokeMethod("sdk", "no-such-method", Map.of(), HttpExtension.POST).block();
    } catch (DaprException error) {
      return;
    }
    throw new AssertionError("was not refused");
  }

  private void secrets() {
    equal(dapr.getSecret("secrets", "db-password").block(), Map.of("db-password", "correct horse"));
    equal(dapr.getBulkSecret("secrets").block().get("api-key"), Map.of("api-key", "k-17"));
  }

  private void configuration() {
    equal(dapr.getConfiguration(config, "size").block().getValue(), "7");
  }

  private void configurationUpdates() throws Exception {
    BlockingQueue<String> got = new LinkedBlockingQueue<>();
    BlockingQueue<String> id = new LinkedBlockingQueue<>();
    Disposable updates = dapr.subscribeConfiguration(config, "color").subscribe(update -> {
      id.offer(update.getSubscriptionId());
      if (update.getItems().containsKey("color")) {
        got.add(update.getItems().get("color").getValue());
      }
    });
    String subscription = id.poll(PATIENCE_SECONDS, TimeUnit.SECONDS); // the first answer holds the id alone
    String value = "blue-" + UUID.randomUUID();
    Control.changeConfiguration(backend, "color", value);
    while (!value.equals(got.poll(PATIENCE_SECONDS, TimeUnit.SECONDS))) {
      if (got.isEmpty()) {
        throw new AssertionError("no update came");
      }
    }
    equal(dapr.unsubscribeConfiguration(subscription, config).block().getIsUnsubscribed(), true);
    updates.dispose();
  }

  private void lock() {
    equal(preview.tryLock(lock, "printer", "ada", 60).block(), true);
    equal(preview.tryLock(lock, "printer", "bob", 60).block(), false);
    equal(preview.unlock(lock, "printer", "bob").block(), UnlockResponseStatus.LOCK_BELONG_TO_OTHERS);
    equal(preview.unlock(lock, "printer", "ada").block(), UnlockResponseStatus.SUCCESS);
    equal(preview.unlock(lock, "printer", "ada").block(), UnlockResponseStatus.LOCK_UNEXIST);
  }

  private void metadata() {
    var metadata = dapr.getMetadata().block();
    equal(metadata.getId(), "sdk");
    equal(metadata.getComponents().stream().anyMatch(component -> component.getName().equals(state)), true);
  }

  private Map<String, Scenario> scenarios() {
    Map<String, Scenario> all = new LinkedHashMap<>();
    all.put("sidecar", () -> dapr.waitForSidecar(PATIENCE_SECONDS * 1000).block());
    all.put("state", this::state);
    all.put("state_etags", this::stateEtags);
    all.put("state_bulk", this::stateBulk);
    all.put("state_transaction", this::stateTransaction);
    all.put("publish", this::publish);
    all.put("declared_subscription", this::declaredSubscription);
    all.put("routing", this::routing);
    all.put("retry", this::retry);
    all.put("dead_letter", this::deadLetter);
    all.put("bulk_publish", this::bulkPublish);
    all.put("streaming_with_a_handler", this::streamingWithAHandler);
    all.put("invoke", this::invoke);
    all.put("invoke_error", this::invokeError);
    all.put("secrets", this::secrets);
    all.put("configuration", this::configuration);
    all.put("configuration_updates", this::configurationUpdates);
    all.put("lock", this::lock);
    all.put("metadata", this::metadata);
    return all;
  }

  public static void main(String[] arguments) throws Exception {
    try (DaprClient dapr = new DaprClientBuilder().build();
        DaprPreviewClient preview = new DaprClientBuilder().buildPreviewClient()) {
      Map<String, Scenario> scenarios = new Client(dapr, preview, arguments[0]).scenarios();
      for (String name : System.getenv("SCENARIOS").split(",")) {
        try {
          scenarios.get(name).run();
          System.out.println("ok " + name);
        } catch (Exception | AssertionError error) {
          error.printStackTrace();
          System.out.println("failed " + name + ": " + error.toString().replace('\n', ' '));
        }
      }
    }
    System.exit(0);
  }
}
