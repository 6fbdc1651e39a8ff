# handover_eventlet.py KIND - ns per value: Queue(0), Queue(100), Queue() into
# which 100 go at a time, LifoQueue(100), PriorityQueue(100) (of numbers, or of
# objects with __lt__), or a fresh Event each time.
# SPDX-License-Identifier: MIT
import random
import sys
import time
import eventlet
import eventlet.event
import eventlet.queue

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
        eventlet.sleep(0)


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
        box[me].wait()
        box[me] = eventlet.event.Event()
        box[other].send(i)


kinds = {
    "channel": (eventlet.queue.Queue(0), put_all),
    "queue": (eventlet.queue.Queue(100), put_all),
    "unbounded": (eventlet.queue.Queue(), put_in_gusts),
    "lifo": (eventlet.queue.LifoQueue(100), put_all),
    "priority": (eventlet.queue.PriorityQueue(100), put_ranks),
    "less": (eventlet.queue.PriorityQueue(100), put_objects),
}
start = time.process_time()
if sys.argv[1] == "event":
    box = [eventlet.event.Event(), eventlet.event.Event()]
    both = [eventlet.spawn(player, box, 0, 1),
            eventlet.spawn(player, box, 1, 0)]
    box[0].send(0)
else:
    queue, put = kinds[sys.argv[1]]
    both = [eventlet.spawn(put, queue), eventlet.spawn(get_all, queue)]
for thread in both:
    thread.wait()
print((time.process_time() - start) / values * 1e9)
