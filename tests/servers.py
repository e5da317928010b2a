"""What tests need to run servers of their own."""

import ctypes
import signal
import socket

PR_SET_PDEATHSIG = 1


def free_ports(count):
    """Ports of 127.0.0.1 that nobody listens on now; somebody else may be quicker."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def die_with_parent():
    """For the child, before it becomes the server: a test that is killed leaves none behind."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
