package sdktest;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.google.protobuf.Any;
import com.google.protobuf.ByteString;
import com.google.protobuf.Empty;
import io.dapr.v1.AppCallbackGrpc;
import io.dapr.v1.CommonProtos;
import io.dapr.v1.DaprAppCallbackProtos;
import io.grpc.Server;
import io.grpc.Status;
import io.grpc.netty.NettyServerBuilder;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

/** An app on the gRPC stubs that the Java SDK brings, as its examples have it. */
public final class GrpcApp extends AppCallbackGrpc.AppCallbackImplBase {
  private static final ObjectMapper JSON = new ObjectMapper();
  private final Map<String, Integer> attempts = new ConcurrentHashMap<>();

  private static DaprAppCallbackProtos.TopicSubscription.Builder to(String backend, String topic) {
    return DaprAppCallbackProtos.TopicSubscription.newBuilder().setPubsubName(backend + "-pubsub").setTopic(topic)
        .setRoutes(DaprAppCallbackProtos.TopicRoutes.newBuilder().setDefault("/" + topic));
  }

  @Override
  public void listTopicSubscriptions(
      Empty request, StreamObserver<DaprAppCallbackProtos.ListTopicSubscriptionsResponse> answer) {
    var list = DaprAppCallbackProtos.ListTopicSubscriptionsResponse.newBuilder();
    for (String backend : List.of("embedded", "redis")) {
      var widgets =
          DaprAppCallbackProtos.TopicRule.newBuilder().setMatch("event.type == \"widget\"").setPath("/widgets");
      list.addSubscriptions(to(backend, "orders"));
      list.addSubscriptions(to(backend, "routed").setRoutes(
          DaprAppCallbackProtos.TopicRoutes.newBuilder().addRules(widgets).setDefault("/others")));
      list.addSubscriptions(to(backend, "flaky"));
      list.addSubscriptions(to(backend, "poison").setDeadLetterTopic("dead"));
      list.addSubscriptions(to(backend, "dead"));
    }
    answer.onNext(list.build());
    answer.onCompleted();
  }

  private DaprAppCallbackProtos.TopicEventResponse.TopicEventResponseStatus handle(String path, Event event) {
    if (path.equals("/poison")) {
      return DaprAppCallbackProtos.TopicEventResponse.TopicEventResponseStatus.DROP;
    }
    if (path.equals("/flaky")) {
      event.attempts = attempts.merge(event.id, 1, Integer::sum);
      if (event.attempts == 1) {
        return DaprAppCallbackProtos.TopicEventResponse.TopicEventResponseStatus.RETRY;
      }
    }
    Control.received(path.substring(1), event);
    return DaprAppCallbackProtos.TopicEventResponse.TopicEventResponseStatus.SUCCESS;
  }

  @Override
  public void onTopicEvent(DaprAppCallbackProtos.TopicEventRequest request,
      StreamObserver<DaprAppCallbackProtos.TopicEventResponse> answer) {
    try {
      var status = handle(request.getPath(), JSON.readValue(request.getData().toByteArray(), Event.class));
      answer.onNext(DaprAppCallbackProtos.TopicEventResponse.newBuilder().setStatus(status).build());
      answer.onCompleted();
    } catch (IOException | RuntimeException error) {
      answer.onError(Status.INTERNAL.withDescription(error.toString()).asRuntimeException());
    }
  }

  @Override
  public void onInvoke(
      CommonProtos.InvokeRequest request, StreamObserver<CommonProtos.InvokeResponse> answer) {
    try {
      if (!request.getMethod().equals("hello")) {
        answer.onError(Status.UNIMPLEMENTED.withDescription(request.getMethod()).asRuntimeException());
        return;
      }
      String name = JSON.readTree(request.getData().getValue().toByteArray()).get("name").asText();
      byte[] body = JSON.writeValueAsBytes(Map.of("hello", name));
      answer.onNext(CommonProtos.InvokeResponse.newBuilder().setContentType("application/json")
          .setData(Any.newBuilder().setValue(ByteString.copyFrom(body))).build());
      answer.onCompleted();
    } catch (IOException error) {
      answer.onError(Status.INVALID_ARGUMENT.withDescription(error.toString()).asRuntimeException());
    }
  }

  public static void main(String[] arguments) throws Exception {
    int port = Integer.parseInt(System.getenv("APP_PORT"));
    Server server =
        NettyServerBuilder.forAddress(new InetSocketAddress("127.0.0.1", port)).addService(new GrpcApp()).build();
    server.start().awaitTermination();
  }
}
