# spawn_gevent.py spawn_n|spawn|wait - ns to spawn a greenlet, run it and
# end it, in batches of 100; "wait" also waits for the result of each.
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
    threads = [spawn(work) for _ in range(100)]
    if sys.argv[1] == "wait":
        for thread in threads:
            thread.get()
    else:
        gevent.sleep(0)
spent = time.process_time() - start
assert ran == 100000
print(spent / ran * 1e9)
