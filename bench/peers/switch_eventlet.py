# switch_eventlet.py THREADS - ns per eventlet.sleep(0).
# SPDX-License-Identifier: MIT
import sys
import time
import eventlet

threads = int(sys.argv[1])
rounds = max(3, 300000 // threads)
done = False


def timed():
    global done
    for _ in range(2):
        eventlet.sleep(0)
    start = time.process_time()
    for _ in range(rounds):
        eventlet.sleep(0)
    done = True
    return time.process_time() - start


def spin():
    while not done:
        eventlet.sleep(0)


first = eventlet.spawn(timed)
others = [eventlet.spawn(spin) for _ in range(threads - 1)]
spent = first.wait()
print(spent / (rounds * threads) * 1e9)
