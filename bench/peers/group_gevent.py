# group_gevent.py CHILDREN time|memory - ns, or resident bytes at the peak, per
# greenlet that gives way once and ends, all of them in one joinall.
# SPDX-License-Identifier: MIT
import sys
import time
import gevent

children = int(sys.argv[1])
ran = 0


def child():
    global ran
    gevent.sleep(0)
    ran += 1


def resident(field):
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith(field):
                return int(line.split()[1]) * 1024


before = resident("VmRSS:")
start = time.process_time()
gevent.joinall([gevent.spawn(child) for _ in range(children)],
               raise_error=True)
spent = time.process_time() - start
assert ran == children
if sys.argv[2] == "time":
    print(spent / children * 1e9)
else:
    print((resident("VmHWM:") - before) / children)
