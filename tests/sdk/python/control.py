"""Speaks to the test's control server; the SDK under test has no part in this."""

import json
import os
import urllib.request


def ask(method, path, document=None):
    body = None if document is None else json.dumps(document).encode()
    request = urllib.request.Request(os.environ["CONTROL"] + path, data=body, method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        text = answer.read()
    return json.loads(text) if text else None


def received(name, data):
    """The app tells of an event's data."""
    ask("POST", f"/received/{name}", data)


def wait_for_event(name, wanted):
    """Data of the event with that id, once the app has told of it; an HTTPError when it never does."""
    return ask("GET", f"/received/{name}/{wanted}")


def change_configuration(backend, key, value):
    ask("POST", f"/configuration/{backend}", {"key": key, "value": value})
