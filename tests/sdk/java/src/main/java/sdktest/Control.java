package sdktest;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.Map;

/** Speaks to the test's control server; the SDK under test has no part in this. */
final class Control {
  private static final HttpClient CLIENT = HttpClient.newHttpClient();
  private static final ObjectMapper JSON = new ObjectMapper();

  private Control() {}

  private static byte[] ask(String method, String path, Object document) {
    try {
      HttpRequest.BodyPublisher body = document == null
          ? HttpRequest.BodyPublishers.noBody()
          : HttpRequest.BodyPublishers.ofByteArray(JSON.writeValueAsBytes(document));
      HttpRequest request =
          HttpRequest.newBuilder(URI.create(System.getenv("CONTROL") + path)).method(method, body)
              .version(HttpClient.Version.HTTP_1_1).build();
      HttpResponse<byte[]> answer = CLIENT.send(request, HttpResponse.BodyHandlers.ofByteArray());
      if (answer.statusCode() >= 300) {
        throw new IllegalStateException(method + " " + path + ": " + answer.statusCode());
      }
      return answer.body();
    } catch (IOException error) {
      throw new IllegalStateException(error);
    } catch (InterruptedException error) {
      Thread.currentThread().interrupt();
      throw new IllegalStateException(error);
    }
  }

  /** Tells of an event's data. */
  static void received(String name, Event event) {
    ask("POST", "/received/" + name, event);
  }

  /** Data of the event with that id, once the app has told of it. */
  static Event waitForEvent(String name, String id) throws IOException {
    return JSON.readValue(ask("GET", "/received/" + name + "/" + id, null), Event.class);
  }

  static void changeConfiguration(String backend, String key, String value) {
    ask("POST", "/configuration/" + backend, Map.of("key", key, "value", value));
  }
}
