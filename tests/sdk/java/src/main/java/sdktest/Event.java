package sdktest;

import com.fasterxml.jackson.annotation.JsonIgnoreProperties;
import java.util.UUID;

/** The data of an event of these tests. */
@JsonIgnoreProperties(ignoreUnknown = true)
public class Event {
  public String id = UUID.randomUUID().toString();
  public int total;
  public int attempts;
}
