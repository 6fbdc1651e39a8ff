# timer_eventlet.py PENDING - ns to start and cancel an eventlet.Timeout.
# SPDX-License-Identifier: MIT
import os
import random
import sys
import time
import eventlet


def arm():
    return eventlet.Timeout(3600 + random.random() * 3600)


pending = [arm() for _ in range(int(sys.argv[1]))]
eventlet.sleep(0)
times = 200000
start = time.process_time()
for i in range(times):
    arm().cancel()
    if i % 100 == 0:
        eventlet.sleep(0)
print((time.process_time() - start) / times * 1e9, flush=True)
os._exit(0)
