# handover_gevent.py channel|queue|event - ns per value: Channel, Queue(100), or
# a fresh AsyncResult each time.
# SPDX-License-Identifier: MIT
import sys
import time
import gevent
import gevent.event
import gevent.queue

values = 100000


def put_all(queue):
    for i in range(values):
        queue.put(i)


def get_all(queue):
    for _ in range(values):
        queue.get()


def player(box, me, other):
    for i in range(values // 2):
        box[me].get()
        box[me] = gevent.event.AsyncResult()
        box[other].set(i)


start = time.process_time()
if sys.argv[1] == "event":
    box = [gevent.event.AsyncResult(), gevent.event.AsyncResult()]
    both = [gevent.spawn(player, box, 0, 1), gevent.spawn(player, box, 1, 0)]
    box[0].set(0)
else:
    queue = (gevent.queue.Queue(100) if sys.argv[1] == "queue"
             else gevent.queue.Channel())
    both = [gevent.spawn(put_all, queue), gevent.spawn(get_all, queue)]
gevent.joinall(both, raise_error=True)
print((time.process_time() - start) / values * 1e9)
