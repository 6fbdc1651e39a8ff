# pool_gevent.py ITEMS spawn_n|map|imap|imap_unordered - ns per job in a Pool of
# 100; a job gives way once and returns its argument.
# SPDX-License-Identifier: MIT
import sys
import time
import gevent
import gevent.pool

items, kind = int(sys.argv[1]), sys.argv[2]
ran = 0


def work(item):
    global ran
    gevent.sleep(0)
    ran += 1
    return item


pool = gevent.pool.Pool(100)
values = list(range(1, items + 1))
start = time.process_time()
if kind == "spawn_n":
    for value in values:
        pool.spawn(work, value)
    pool.join()
else:
    total = sum(getattr(pool, kind)(work, values))
    assert total == items * (items + 1) // 2
spent = time.process_time() - start
assert ran == items
print(spent / items * 1e9)
