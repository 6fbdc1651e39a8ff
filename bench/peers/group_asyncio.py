# group_asyncio.py CHILDREN time|memory - ns, or resident bytes at the peak, per
# task of a TaskGroup; a task gives way once and ends.
# SPDX-License-Identifier: MIT
import asyncio
import sys
import time

children = int(sys.argv[1])
ran = 0


async def child():
    global ran
    await asyncio.sleep(0)
    ran += 1


async def spawn_all():
    async with asyncio.TaskGroup() as group:
        for _ in range(children):
            group.create_task(child())


def resident(field):
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith(field):
                return int(line.split()[1]) * 1024


before = resident("VmRSS:")
start = time.process_time()
asyncio.run(spawn_all())
spent = time.process_time() - start
assert ran == children
if sys.argv[2] == "time":
    print(spent / children * 1e9)
else:
    print((resident("VmHWM:") - before) / children)
