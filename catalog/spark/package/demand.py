"""How many workers there is a use for, as the master tells it: one JSON object on standard output.

    demand.py http://MASTER:8080

Neither the load of machines nor the memory of JVMs says it: an executor that is cached looks idle, and one
that waits is nowhere. What counts is what applications have been granted and what they wait for. The JSON of
the master has the first; the second it shows on the page of each application alone.

- An application with spark.cores.max wants that many cores.
- One that allocates dynamically wants as many executors as it has told the master.
- One without either takes what there is and names no limit. It wants what it has, and one executor as long
  as it has none: otherwise a single one would always want all workers that there may be.
- A driver that runs on a worker (--deploy-mode cluster) wants its cores.

An executor is on one worker, so what counts is how many executors of an application a worker has room for,
by its cores and by its memory. One that fits on no worker makes none come. What a worker has is known as soon
as there is one.
"""

import json
import math
import re
import sys
import urllib.parse
import urllib.request

CORES = re.compile(r"Cores: (Unlimited|\d+) \((\d+) granted")
LIMIT = re.compile(r"Executor Limit: (Unlimited|\d+) \((\d+) granted")


def main():
    page = sys.argv[1]
    master = json.loads(fetch(page + "/json/"))
    if master["status"] != "ALIVE":
        sys.exit("the master is %s" % master["status"])
    alive = [worker for worker in master["workers"] if worker["state"] == "ALIVE"]
    if not alive:
        waiting = len(master["activeapps"]) + len(master["activedrivers"])
        return tell(min(waiting, 1), "no worker runs, waiting: %d" % waiting)
    cores = max(worker["cores"] for worker in alive)
    memory = max(worker["memory"] for worker in alive)
    wanted, notes = 0.0, []
    for app in master["activeapps"]:
        shown = fetch(page + "/app/?appId=" + urllib.parse.quote(app["id"]))
        executors, note = of_application(app, shown, cores, memory)
        wanted += executors
        notes.append("%s %s" % (app["name"][:40], note))
    drivers = [it for it in master["activedrivers"] if it["cores"] <= cores and it["memory"] <= memory]
    if drivers:
        wanted += sum(driver["cores"] / cores for driver in drivers)
        notes.append(count(len(drivers), "driver"))
    more = len(notes) - 3
    message = "; ".join(notes[:3]) + ("; and %d more" % more if more > 0 else "")
    # The last bits of a sum of fractions are no worker.
    tell(math.ceil(wanted - 1e-6), message or "no application runs or waits")


def tell(members, message):
    print(json.dumps({"members": members, "message": message}))


def of_application(app, shown, cores, memory):
    """The share of workers that an application wants, and what to say of it."""
    text = " ".join(re.sub(r"<[^>]*>", " ", shown).split())
    of_cores, of_executors = CORES.search(text), LIMIT.search(text)
    if not of_cores or not of_executors:
        sys.exit("the page of %s does not say what it waits for" % app["id"])
    granted, running = int(of_cores.group(2)), int(of_executors.group(2))
    most = number(of_cores.group(1))
    # What an executor takes is known of those that there are; without any it takes what it can get.
    each = granted / running if running else min(cores, most)
    limit = number(of_executors.group(1))
    if most == math.inf and limit == math.inf:
        executors = max(running, 1)
    else:
        executors = min(most / each, limit)
    executors = max(math.ceil(executors), running)
    says = "has %s with %s" % (count(running, "executor"), count(granted, "core"))
    if executors > running:
        says += ", waits for %d more" % (executors - running)
    room = int(cores // each)
    needed = app.get("memoryperexecutor", app.get("memoryperslave", 0))
    if needed > 0:
        room = min(room, memory // needed)
    if room < 1:
        return running, says + ", which fit on no worker"
    return executors / room, says


def count(number, what):
    return "%d %s%s" % (number, what, "" if number == 1 else "s")


def number(text):
    return math.inf if text == "Unlimited" else int(text)


def fetch(url):
    with urllib.request.urlopen(url, timeout=5) as answer:
        return answer.read().decode()


if __name__ == "__main__":
    try:
        main()
    except (OSError, KeyError, ValueError) as error:
        sys.exit("the master cannot be asked: %s: %s" % (type(error).__name__, error))
