# pool_eventlet.py ITEMS spawn_n|imap - ns per job in a GreenPool of 100; a job
# gives way once and returns its argument.
# SPDX-License-Identifier: MIT
import sys
import time
import eventlet

items, kind = int(sys.argv[1]), sys.argv[2]
if kind not in ("spawn_n", "imap"):
    print("-")
    sys.exit()
ran = 0


def work(item):
    global ran
    eventlet.sleep(0)
    ran += 1
    return item


pool = eventlet.GreenPool(100)
values = list(range(1, items + 1))
start = time.process_time()
if kind == "spawn_n":
    for value in values:
        pool.spawn_n(work, value)
    pool.waitall()
else:
    assert sum(pool.imap(work, values)) == items * (items + 1) // 2
spent = time.process_time() - start
assert ran == items
print(spent / items * 1e9)
