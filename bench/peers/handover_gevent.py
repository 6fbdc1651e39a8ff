# handover_gevent.py KIND - ns per value: Channel, Queue(100), Queue() into
# which 100 go at a time, LifoQueue(100), PriorityQueue(100) (of numbers, or of
# objects with __lt__), or a fresh AsyncResult each time.
# SPDX-License-Identifier: MIT
import random
import sys
import time
import gevent
import gevent.event
import gevent.queue

values = 100000
random.seed(1)
ranks = [random.randrange(1000000) for _ in range(1024)]


def put_all(queue):
    for i in range(values):
        queue.put(i)


def put_in_gusts(queue):
    for _ in range(values // 100):
        for i in range(100):
            queue.put(i)
        gevent.sleep(0)


def put_ranks(queue):
    for i in range(values):
        queue.put(ranks[i % 1024])


class Ranked:
    __slots__ = ("rank",)

    def __init__(self, rank):
        self.rank = rank

    def __lt__(self, other):
        return self.rank < other.rank


def put_objects(queue):
    items = [Ranked(rank) for rank in ranks]
    for i in range(values):
        queue.put(items[i % 1024])


def get_all(queue):
    for _ in range(values):
        queue.get()


def player(box, me, other):
    for i in range(values // 2):
        box[me].get()
        box[me] = gevent.event.AsyncResult()
        box[other].set(i)


kinds = {
    "channel": (gevent.queue.Channel(), put_all),
    "queue": (gevent.queue.Queue(100), put_all),
    "unbounded": (gevent.queue.Queue(), put_in_gusts),
    "lifo": (gevent.queue.LifoQueue(100), put_all),
    "priority": (gevent.queue.PriorityQueue(100), put_ranks),
    "less": (gevent.queue.PriorityQueue(100), put_objects),
}
start = time.process_time()
if sys.argv[1] == "event":
    box = [gevent.event.AsyncResult(), gevent.event.AsyncResult()]
    both = [gevent.spawn(player, box, 0, 1), gevent.spawn(player, box, 1, 0)]
    box[0].set(0)
else:
    queue, put = kinds[sys.argv[1]]
    both = [gevent.spawn(put, queue), gevent.spawn(get_all, queue)]
gevent.joinall(both, raise_error=True)
print((time.process_time() - start) / values * 1e9)
