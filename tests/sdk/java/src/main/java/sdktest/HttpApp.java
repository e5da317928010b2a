package sdktest;

import io.dapr.Rule;
import io.dapr.Topic;
import io.dapr.client.domain.CloudEvent;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.web.bind.annotation.PostMapping;
import org.springframework.web.bind.annotation.RequestBody;
import org.springframework.web.bind.annotation.RestController;

/** An app of the Java SDK's Spring Boot integration. */
@SpringBootApplication
public class HttpApp {
  private static final Map<String, Integer> ATTEMPTS = new ConcurrentHashMap<>();

  private static void tell(String name, CloudEvent<Event> event) {
    Control.received(name, event.getData());
  }

  private static void failOnce(CloudEvent<Event> event) {
    Event data = event.getData();
    data.attempts = ATTEMPTS.merge(data.id, 1, Integer::sum);
    if (data.attempts == 1) {
      throw new IllegalStateException("not now");
    }
    Control.received("flaky", data);
  }

  /** Subscriptions to the embedded broker. */
  @RestController
  public static class Embedded {
    private static final String PUBSUB = "embedded-pubsub";

    @Topic(name = "orders", pubsubName = PUBSUB)
    @PostMapping("/embedded/orders")
    public void orders(@RequestBody CloudEvent<Event> event) {
      tell("orders", event);
    }

    @Topic(name = "routed", pubsubName = PUBSUB, rule = @Rule(match = "event.type == \"widget\"", priority = 1))
    @PostMapping("/embedded/widgets")
    public void widgets(@RequestBody CloudEvent<Event> event) {
      tell("widgets", event);
    }

    @Topic(name = "routed", pubsubName = PUBSUB)
    @PostMapping("/embedded/others")
    public void others(@RequestBody CloudEvent<Event> event) {
      tell("others", event);
    }

    @Topic(name = "flaky", pubsubName = PUBSUB)
    @PostMapping("/embedded/flaky")
    public void flaky(@RequestBody CloudEvent<Event> event) {
      failOnce(event);
    }

    @Topic(name = "poison", pubsubName = PUBSUB, deadLetterTopic = "dead")
    @PostMapping("/embedded/poison")
    public Map<String, String> poison(@RequestBody CloudEvent<Event> event) {
      return Map.of("status", "DROP");
    }

    @Topic(name = "dead", pubsubName = PUBSUB)
    @PostMapping("/embedded/dead")
    public void dead(@RequestBody CloudEvent<Event> event) {
      tell("dead", event);
    }
  }

  /** Subscriptions to the broker on Redis. */
  @RestController
  public static class Redis {
    private static final String PUBSUB = "redis-pubsub";

    @Topic(name = "orders", pubsubName = PUBSUB)
    @PostMapping("/redis/orders")
    public void orders(@RequestBody CloudEvent<Event> event) {
      tell("orders", event);
    }

    @Topic(name = "routed", pubsubName = PUBSUB, rule = @Rule(match = "event.type == \"widget\"", priority = 1))
    @PostMapping("/redis/widgets")
    public void widgets(@RequestBody CloudEvent<Event> event) {
      tell("widgets", event);
    }

    @Topic(name = "routed", pubsubName = PUBSUB)
    @PostMapping("/redis/others")
    public void others(@RequestBody CloudEvent<Event> event) {
      tell("others", event);
    }

    @Topic(name = "flaky", pubsubName = PUBSUB)
    @PostMapping("/redis/flaky")
    public void flaky(@RequestBody CloudEvent<Event> event) {
      failOnce(event);
    }

    @Topic(name = "poison", pubsubName = PUBSUB, deadLetterTopic = "dead")
    @PostMapping("/redis/poison")
    public Map<String, String> poison(@RequestBody CloudEvent<Event> event) {
      return Map.of("status", "DROP");
    }

    @Topic(name = "dead", pubsubName = PUBSUB)
    @PostMapping("/redis/dead")
    public void dead(@RequestBody CloudEvent<Event> event) {
      tell("dead", event);
    }
  }

  /** What was declared, and what is invoked. */
  @RestController
  public static class Rest {
    @PostMapping("/declared")
    public void declared(@RequestBody CloudEvent<Event> event) {
      tell("declared", event);
    }

    @PostMapping("/hello")
    public Map<String, String> hello(@RequestBody Map<String, String> person) {
      return Map.of("hello", person.get("name"));
    }
  }

  public static void main(String[] arguments) {
    SpringApplication.run(HttpApp.class, "--server.port=" + System.getenv("APP_PORT"),
        "--server.address=127.0.0.1", "--spring.main.banner-mode=off", "--logging.level.root=warn");
  }
}
