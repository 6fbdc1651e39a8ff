# switch_gevent.py THREADS - ns per gevent.sleep(0).
# SPDX-License-Identifier: MIT
import sys
import time
import gevent

threads = int(sys.argv[1])
rounds = max(3, 300000 // threads)
done = False


def timed():
    global done
    for _ in range(2):
        gevent.sleep(0)
    start = time.process_time()
    for _ in range(rounds):
        gevent.sleep(0)
    done = True
    return time.process_time() - start


def spin():
    while not done:
        gevent.sleep(0)


first = gevent.spawn(timed)
others = [gevent.spawn(spin) for _ in range(threads - 1)]
spent = first.get()
print(spent / (rounds * threads) * 1e9)
