# spawn_gevent.py spawn_n|spawn - ns to spawn a greenlet, run it and end it,
# in batches of 100.
# SPDX-License-Identifier: MIT
import sys
import time
import gevent

spawn = gevent.spawn_raw if sys.argv[1] == "spawn_n" else gevent.spawn
ran = 0


def work():
    global ran
    ran += 1


start = time.process_time()
for _ in range(1000):
    for _ in range(100):
        spawn(work)
    gevent.sleep(0)
spent = time.process_time() - start
assert ran == 100000
print(spent / ran * 1e9)
