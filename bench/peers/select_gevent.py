# select_gevent.py waits|ready THINGS - ns per value received by gevent.wait for
# the first of so many Events, with the value in a list; gevent cannot wait for
# several queues.
# SPDX-License-Identifier: MIT
import random
import sys
import time
import gevent
import gevent.event

mode, things = sys.argv[1], int(sys.argv[2])
values = 300000 // (things + 10)
events = [gevent.event.Event() for _ in range(things)]
random.seed(1)
picks = [events[random.randrange(things)] for _ in range(1024)]
box = {}


def put(i):
    event = picks[i % 1024]
    box[event] = i
    event.set()


def receive():
    event = gevent.wait(events, count=1)[0]
    event.clear()
    return box[event]


def put_all():
    for i in range(1, values + 1):
        put(i)
        gevent.sleep(0)


total = 0
start = time.process_time()
if mode == "waits":
    putter = gevent.spawn(put_all)
for i in range(1, values + 1):
    if mode == "ready":
        put(i)
    total += receive()
spent = time.process_time() - start
assert total == values * (values + 1) // 2
print(spent / values * 1e9)
