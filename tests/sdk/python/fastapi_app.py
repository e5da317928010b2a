"""An app of the Python SDK's FastAPI extension."""

import os

import uvicorn
from control import received
from dapr.ext.fastapi import DaprApp
from fastapi import Body, FastAPI

app = FastAPI()
dapr_app = DaprApp(app)
attempts = {}


def subscribe(backend):
    pubsub = f"{backend}-pubsub"

    @dapr_app.subscribe(pubsub=pubsub, topic="orders", route=f"/{backend}/orders")
    def orders(event=Body()):
        received("orders", event["data"])

    @dapr_app.subscribe(pubsub=pubsub, topic="flaky", route=f"/{backend}/flaky")
    def flaky(event=Body()):
        data = event["data"]
        attempts[data["id"]] = attempts.get(data["id"], 0) + 1
        if attempts[data["id"]] == 1:
            return {"status": "RETRY"}
        received("flaky", {**data, "attempts": attempts[data["id"]]})
        return {"status": "SUCCESS"}

    @dapr_app.subscribe(pubsub=pubsub, topic="poison", route=f"/{backend}/poison", dead_letter_topic="dead")
    def poison(_=Body()):
        return {"status": "DROP"}

    @dapr_app.subscribe(pubsub=pubsub, topic="dead", route=f"/{backend}/dead")
    def dead(event=Body()):
        received("dead", event["data"])


for one in ("embedded", "redis"):
    subscribe(one)


@app.post("/declared")
def declared(event=Body()):
    received("declared", event["data"])


@app.post("/hello")
def hello(person=Body()):
    return {"hello": person["name"]}


uvicorn.run(app, host="127.0.0.1", port=int(os.environ["APP_PORT"]), log_level="warning")
