# idle_eventlet.py THREADS spawn_n|spawn|handler - resident bytes per greenlet
# that waits for an event; "handler" waits three calls deep with a dozen locals.
# SPDX-License-Identifier: MIT
import os
import sys
import eventlet
import eventlet.event

threads, kind = int(sys.argv[1]), sys.argv[2]
event = eventlet.event.Event()


def resident():
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024


def wait(_conn):
    event.wait()


def read(conn, size):
    buffer, start, end = conn, size, size
    event.wait()
    return buffer, start, end


def request(conn):
    method, path, version, headers = conn, conn, conn, conn
    body = read(conn, 1)
    return method, path, version, headers, body


def handler(conn):
    peer, port, started, count = conn, conn, conn, conn
    request(conn)
    return peer, port, started, count


spawn = eventlet.spawn if kind == "spawn" else eventlet.spawn_n
before = resident()
handles = [spawn(handler if kind == "handler" else wait, i)
           for i in range(threads)]
eventlet.sleep(0)
print((resident() - before) / threads, flush=True)
os._exit(0)
