"""An app of the Python SDK's Flask extension."""

import os

from control import received
from flask import Flask, jsonify, request
from flask_dapr import DaprApp

app = Flask("sdk")
dapr_app = DaprApp(app)
attempts = {}


def subscribe(backend):
    pubsub = f"{backend}-pubsub"

    @dapr_app.subscribe(pubsub=pubsub, topic="orders", route=f"/{backend}/orders")
    def orders():
        received("orders", request.get_json(force=True)["data"])
        return jsonify(status="SUCCESS")

    @dapr_app.subscribe(pubsub=pubsub, topic="flaky", route=f"/{backend}/flaky")
    def flaky():
        data = request.get_json(force=True)["data"]
        attempts[data["id"]] = attempts.get(data["id"], 0) + 1
        if attempts[data["id"]] == 1:
            return "not now", 500
        received("flaky", {**data, "attempts": attempts[data["id"]]})
        return jsonify(status="SUCCESS")

    @dapr_app.subscribe(pubsub=pubsub, topic="poison", route=f"/{backend}/poison", dead_letter_topic="dead")
    def poison():
        return jsonify(status="DROP")

    @dapr_app.subscribe(pubsub=pubsub, topic="dead", route=f"/{backend}/dead")
    def dead():
        received("dead", request.get_json(force=True)["data"])
        return jsonify(status="SUCCESS")


for one in ("embedded", "redis"):
    subscribe(one)


@app.route("/declared", methods=["POST"])
def declared():
    received("declared", request.get_json(force=True)["data"])
    return jsonify(status="SUCCESS")


@app.route("/hello", methods=["POST"])
def hello():
    return jsonify(hello=request.get_json()["name"])


app.run(host="127.0.0.1", port=int(os.environ["APP_PORT"]))
