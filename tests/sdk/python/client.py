"""Every capability by the Python SDK, as its documentation shows it. client.py BACKEND"""

import json
import os
import queue
import sys
import traceback
import uuid

import grpc
from control import change_configuration, wait_for_event
from dapr.clients import DaprClient
from dapr.clients.exceptions import DaprGrpcError
from dapr.clients.grpc._request import TransactionalStateOperation, TransactionOperationType
from dapr.clients.grpc._response import TopicEventResponse, UnlockResponseStatus
from dapr.clients.grpc._state import StateItem
from dapr.clients.health import DaprHealth

BACKEND = sys.argv[1]
STATE, PUBSUB, CONFIG, LOCK = (f"{BACKEND}-{part}" for part in ("state", "pubsub", "config", "lock"))


def equal(got, expected):
    if got != expected:
        raise AssertionError(f"{got!r} is not {expected!r}")


def refused(code, action):
    try:
        action()
    except (DaprGrpcError, grpc.RpcError) as error:
        equal(error.code(), code)
        return
    raise AssertionError(f"was not refused with {code}")


def event(**more):
    return {"id": str(uuid.uuid4()), **more}


def sidecar(_):
    DaprHealth.wait_for_sidecar()


def state(client):
    client.save_state(store_name=STATE, key="cart", value=json.dumps({"items": 3}))
    got = client.get_state(store_name=STATE, key="cart")
    equal(got.json(), {"items": 3})
    client.delete_state(store_name=STATE, key="cart")
    equal(client.get_state(store_name=STATE, key="cart").data, b"")


def state_etags(client):
    client.save_state(store_name=STATE, key="etag", value="v1")
    first = client.get_state(store_name=STATE, key="etag").etag
    client.save_state(store_name=STATE, key="etag", value="v2", etag=first)
    refused(grpc.StatusCode.ABORTED, lambda: client.save_state(STATE, "etag", "v3", etag=first))
    refused(grpc.StatusCode.ABORTED, lambda: client.delete_state(STATE, "etag", etag=first))
    equal(client.get_state(store_name=STATE, key="etag").data, b"v2")


def state_bulk(client):
    client.save_bulk_state(store_name=STATE, states=[StateItem(key=f"b{i}", value=str(i)) for i in range(5)])
    items = client.get_bulk_state(store_name=STATE, keys=["b0", "b4", "none"]).items
    equal({item.key: item.data for item in items}, {"b0": b"0", "b4": b"4", "none": b""})


def state_transaction(client):
    client.save_state(store_name=STATE, key="t2", value="old")
    client.execute_state_transaction(store_name=STATE, operations=[
        TransactionalStateOperation(operation_type=TransactionOperationType.upsert, key="t1", data="one"),
        TransactionalStateOperation(operation_type=TransactionOperationType.delete, key="t2")])
    equal(client.get_state(store_name=STATE, key="t1").data, b"one")
    equal(client.get_state(store_name=STATE, key="t2").data, b"")


def publish_to(client, topic, data, **more):
    client.publish_event(pubsub_name=PUBSUB, topic_name=topic, data=json.dumps(data),
                         data_content_type="application/json", **more)


def publish(client):
    data = event(total=17)
    publish_to(client, "orders", data)
    equal(wait_for_event("orders", data["id"])["total"], 17)


def declared_subscription(client):
    data = event()
    publish_to(client, "declared", data)
    wait_for_event("declared", data["id"])


def routing_rule(client):
    widget = event()
    publish_to(client, "routed", widget, publish_metadata={"cloudevent.type": "widget"})
    wait_for_event("widgets", widget["id"])


def retry(client):
    data = event()
    publish_to(client, "flaky", data)
    equal(wait_for_event("flaky", data["id"])["attempts"], 2)


def dead_letter(client):
    data = event()
    publish_to(client, "poison", data)
    wait_for_event("dead", data["id"])


def bulk_publish(client):
    events = [event(n=n) for n in range(3)]
    answer = client.publish_events(pubsub_name=PUBSUB, topic_name="orders", data=[json.dumps(e) for e in events],
                                   data_content_type="application/json")
    equal(list(answer.failed_entries), [])
    for one in events:
        wait_for_event("orders", one["id"])


def take(subscription, data):
    """Reads on to the event with that data: one may come again, since this SDK sends answers a little later."""
    for message in subscription:
        subscription.respond_success(message)
        if message.data() == data:
            return message
    raise AssertionError("the stream ended")


def streaming_subscription(client):
    first, second = event(), event()
    subscription = client.subscribe(pubsub_name=PUBSUB, topic="streamed", dead_letter_topic="streamed-dead")
    publish_to(client, "streamed", first)
    equal(take(subscription, first).topic(), "streamed")
    publish_to(client, "streamed", second)
    take(subscription, second)
    subscription.close()


def streaming_with_a_handler(client):
    got = queue.Queue()
    data = event()

    def handle(message):
        got.put(message.data())
        return TopicEventResponse("success")
    close = client.subscribe_with_handler(pubsub_name=PUBSUB, topic="handled", handler_fn=handle)
    publish_to(client, "handled", data)
    equal(got.get(timeout=30), data)
    close()


def invoke(client):
    answer = client.invoke_method("sdk", "hello", data=json.dumps({"name": "ada"}), content_type="application/json",
                                  http_verb="POST")
    equal(json.loads(answer.data), {"hello": "ada"})


def invoke_error(client):
    try:
        client.invoke_method("sdk", "no-such-method", data=b"", http_verb="POST", timeout=20)
    except Exception:  # whatever this SDK makes of it
        return
    raise AssertionError("was not refused")


def secrets(client):
    equal(dict(client.get_secret(store_name="secrets", key="db-password").secret), {"db-password": "correct horse"})
    bulk = client.get_bulk_secret(store_name="secrets").secrets
    equal(bulk["api-key"], {"api-key": "k-17"})


def configuration(client):
    items = client.get_configuration(store_name=CONFIG, keys=["size"]).items
    equal(items["size"].value, "7")


def configuration_updates(client):
    got = queue.Queue()

    def handler(_id, update):
        for key, item in update.items.items():
            got.put((key, item.value))
    subscription = client.subscribe_configuration(store_name=CONFIG, keys=["color"], handler=handler)
    value = f"blue-{uuid.uuid4()}"
    change_configuration(BACKEND, "color", value)
    while got.get(timeout=30) != ("color", value):  # the present value may come first
        pass
    equal(client.unsubscribe_configuration(store_name=CONFIG, id=subscription), True)


def lock(client):
    with client.try_lock(LOCK, "printer", "ada", expiry_in_seconds=60) as held:
        equal(held.success, True)
        equal(client.try_lock(LOCK, "printer", "bob", expiry_in_seconds=60).success, False)
        equal(client.unlock(LOCK, "printer", "bob").status, UnlockResponseStatus.lock_belongs_to_others)
    equal(client.unlock(LOCK, "printer", "ada").status, UnlockResponseStatus.lock_does_not_exist)


def metadata(client):
    client.set_metadata(attributeName="build", attributeValue="17")
    got = client.get_metadata()
    equal(got.application_id, "sdk")
    equal(got.extended_metadata["build"], "17")
    if STATE not in [component.name for component in got.registered_components]:
        raise AssertionError(f"{STATE} is not among the components")


SCENARIOS = (sidecar, state, state_etags, state_bulk, state_transaction, publish, declared_subscription, routing_rule, retry,
             dead_letter, bulk_publish, streaming_subscription, streaming_with_a_handler, invoke, invoke_error, secrets,
             configuration, configuration_updates, lock, metadata)


def main():
    wanted = os.environ["SCENARIOS"].split(",")
    with DaprClient() as client:
        for scenario in (one for one in SCENARIOS if one.__name__ in wanted):
            try:
                scenario(client)
                print(f"ok {scenario.__name__}")
            except Exception as error:
                traceback.print_exc()
                print(f"failed {scenario.__name__}: {type(error).__name__} {error}".replace("\n", " "))


main()
