# handover_eventlet.py channel|queue|event - ns per value: Queue(0), Queue(100),
# or a fresh Event each time.
# SPDX-License-Identifier: MIT
import sys
import time
import eventlet
import eventlet.event
import eventlet.queue

values = 100000


def put_all(queue):
    for i in range(values):
        queue.put(i)


def get_all(queue):
    for _ in range(values):
        queue.get()


def player(box, me, other):
    for i in range(values // 2):
        box[me].wait()
        box[me] = eventlet.event.Event()
        box[other].send(i)


start = time.process_time()
if sys.argv[1] == "event":
    box = [eventlet.event.Event(), eventlet.event.Event()]
    both = [eventlet.spawn(player, box, 0, 1),
            eventlet.spawn(player, box, 1, 0)]
    box[0].send(0)
else:
    queue = eventlet.queue.Queue(100 if sys.argv[1] == "queue" else 0)
    both = [eventlet.spawn(put_all, queue), eventlet.spawn(get_all, queue)]
for thread in both:
    thread.wait()
print((time.process_time() - start) / values * 1e9)
