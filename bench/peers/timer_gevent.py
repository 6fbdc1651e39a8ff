# timer_gevent.py PENDING - ns to start and close a gevent.Timeout.
# SPDX-License-Identifier: MIT
import os
import random
import sys
import time
import gevent


def arm():
    return gevent.Timeout.start_new(3600 + random.random() * 3600)


pending = [arm() for _ in range(int(sys.argv[1]))]
times = 200000
start = time.process_time()
for _ in range(times):
    arm().close()
print((time.process_time() - start) / times * 1e9, flush=True)
os._exit(0)
