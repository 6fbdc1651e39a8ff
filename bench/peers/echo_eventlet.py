# echo_eventlet.py - an echo server; prints its port.
# SPDX-License-Identifier: MIT
import eventlet
from eventlet.green import socket


def serve(conn, _address):
    conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    data = conn.recv(65536)
    while data:
        conn.sendall(data)
        data = conn.recv(65536)


listener = eventlet.listen(("127.0.0.1", 0), backlog=1024)
print(listener.getsockname()[1], flush=True)
eventlet.serve(listener, serve, concurrency=10000)
