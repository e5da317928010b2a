"""An app of the Python SDK's gRPC extension."""

import json
import os

from cloudevents.sdk.event import v1
from control import received
from dapr.clients.grpc._response import TopicEventResponse
from dapr.ext.grpc import App, InvokeMethodRequest, InvokeMethodResponse, Rule

app = App()
attempts = {}


def subscribe(backend):
    pubsub = f"{backend}-pubsub"

    @app.subscribe(pubsub_name=pubsub, topic="orders")
    def orders(event: v1.Event):
        received("orders", json.loads(event.Data()))

    @app.subscribe(pubsub_name=pubsub, topic="routed", rule=Rule('event.type == "widget"', 1))
    def widgets(event: v1.Event):
        received("widgets", json.loads(event.Data()))

    @app.subscribe(pubsub_name=pubsub, topic="flaky")
    def flaky(event: v1.Event):
        data = json.loads(event.Data())
        attempts[data["id"]] = attempts.get(data["id"], 0) + 1
        if attempts[data["id"]] == 1:
            return TopicEventResponse("retry")
        received("flaky", {**data, "attempts": attempts[data["id"]]})
        return TopicEventResponse("success")

    @app.subscribe(pubsub_name=pubsub, topic="poison", dead_letter_topic="dead")
    def poison(_: v1.Event):
        return TopicEventResponse("drop")

    @app.subscribe(pubsub_name=pubsub, topic="dead")
    def dead(event: v1.Event):
        received("dead", json.loads(event.Data()))


for one in ("embedded", "redis"):
    subscribe(one)


@app.method(name="hello")
def hello(request: InvokeMethodRequest):
    return InvokeMethodResponse(json.dumps({"hello": json.loads(request.text())["name"]}), "application/json")


app.run(int(os.environ["APP_PORT"]), listen_address="127.0.0.1")
