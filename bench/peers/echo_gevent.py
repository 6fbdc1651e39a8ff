# echo_gevent.py - an echo server; prints its port.
# SPDX-License-Identifier: MIT
import socket
import gevent.server


def serve(conn, _address):
    conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    data = conn.recv(65536)
    while data:
        conn.sendall(data)
        data = conn.recv(65536)


server = gevent.server.StreamServer(("127.0.0.1", 0), serve, backlog=1024)
server.start()
print(server.server_port, flush=True)
server.serve_forever()
