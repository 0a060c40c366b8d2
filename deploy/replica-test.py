"""What deploy/replica-test runs in its virtual environment: replica-test.py TOPOLOGY FOLDER [PROCESS...].

What openstacksdk 4.22.0 (keystoneauth1 5.18.1) repeats by default, read in its source:

- After a broken or refused connection: nothing. `connect_retries` is not in openstack/config/defaults.json and is 0 in
  keystoneauth1's Session; requests' adapter, below it, has `Retry(0, read=False)`. So each operation of compute, identity and
  network ends with ConnectFailure as soon as one of its requests gets no answer, polls of wait_for_server and wait_for_delete too.
- After a status: nothing either, but for images, where a 503 is repeated 5 times (`image_status_code_retries`); elsewhere
  `status_code_retries` is 0, so a 503 fails the operation, with Retry-After or without. A 401 is repeated once with a new token.

Whatever a killed API had not answered must therefore be repeated by the balancer, and a killed supervisor or conductor must not
be seen in any status.
"""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
import urllib.request
from importlib import metadata

import openstack

WORKERS = int(os.environ.get("CELLWRIGHT_REPLICA_WORKERS", "6"))
AWAY = float(os.environ.get("CELLWRIGHT_REPLICA_SECONDS", "6"))
LOGS = os.environ.get("CELLWRIGHT_REPLICA_LOGS")
KINDS = ["api", "supervisor-root", "supervisor-north", "supervisor-south", "conductor-north"]
VICTIMS = sys.argv[3:] or [name for kind in KINDS for name in (kind, f"{kind}@2")]
# Seconds: for a server to come to a state, for the cloud to start, for a process to be back.
STATE_LIMIT, START_LIMIT, BACK_LIMIT = 60, 180, 60
POLL = 0.5

# - `balance roundrobin`: every other request goes to the other API, whoever sends it; nothing is kept in one of them.
# - `option httpchk`, `inter`, `fall`, `rise`: an API gets requests while its /healthz says 200; looked at twice a second, and one
#   bad look is enough.
# - `retry-on conn-failure empty-response`: a request goes out again when the API could not be reached, or closed the connection
#   without one byte of an answer; that is what is left of a killed process, and the client would not repeat it (see above). No
#   status is repeated here: a 503 reaches the client.
# - `Idempotency-Key`: one for each request of a client, and the same in every repeat of it. A stop that was carried out before the
#   API died is so answered with 202 when it comes again, and not with the 409 of a server that is being stopped; a create makes
#   its servers once.
# - `option http-buffer-request`: the balancer has all of a request, up to 16 KiB, before it chooses an API. Only then can it repeat
#   one with a body: Python sends head and body apart, and what was sent on while the body was under way is not repeated (the client
#   then sees "Remote end closed connection without response").
# - `retries`, `option redispatch 1`: up to three times, and each time to another API than before, without waiting.
# - No `http-request set-header Host`: links and catalog begin with what the client sent, which is the balancer's address. (A
#   deployed cloud has `api.publicURL` for that.)
BALANCER = """
global
    stats socket {folder}/haproxy.sock mode 600
defaults
    mode http
    timeout connect 2s
    timeout client 75s
    timeout server 75s
    retries 3
    option redispatch 1
    option http-buffer-request
    retry-on conn-failure empty-response
listen api
    bind 127.0.0.1:{port}
    http-request set-header Idempotency-Key %[uuid()]
    balance roundrobin
    option httpchk GET /healthz
    http-check expect status 200
    default-server check inter 500ms fall 1 rise 1
    server api {first}
    server api2 {second}
"""


def say(text):
    print(f"replica-test: {text}", flush=True)


class Outcome:
    """What the workers have done."""

    def __init__(self):
        self.lock = threading.Lock()
        self.done = {}
        self.failures = 0
        self.is_stopping = False
        self.away = "nothing"

    def add(self, operation):
        with self.lock:
            self.done[operation] = self.done.get(operation, 0) + 1

    def fail(self, who, operation, error, more=""):
        with self.lock:
            self.failures += 1
        say(f"FAILED: {operation} of {who} while {self.away} was away: {type(error).__name__}: {error} {more}")

    @property
    def count(self):
        with self.lock:
            return sum(self.done.values())


class Worker(threading.Thread):
    """A client: it logs in, does its round, and begins anew, until it is told to stop."""

    def __init__(self, name, outcome, order):
        super().__init__(name=name, daemon=True)
        self.outcome, self.order = outcome, order
        self.server = self.connection = None

    def run(self):
        while not self.outcome.is_stopping:
            self.operation, self.server = "log in", None
            try:
                self.connection = self.do("log in", connect, "cellwright")
                self.round(self.connection.compute)
            except Exception as error:
                self.outcome.fail(self.name, self.operation, error, self.fault())
                time.sleep(1)

    def do(self, operation, work, *arguments, **options):
        self.operation = operation
        result = work(*arguments, **options)
        self.outcome.add(operation)
        return result

    def round(self, compute):
        self.server = server = self.do("create", compute.create_server, **self.order)
        self.wait(compute, "ACTIVE")
        self.list(compute)
        self.do("stop", compute.stop_server, server.id)
        self.wait(compute, "SHUTOFF")
        self.do("start", compute.start_server, server.id)
        self.wait(compute, "ACTIVE")
        self.list(compute)
        self.do("delete", compute.delete_server, server.id)
        self.do("wait until gone", compute.wait_for_delete, server, interval=POLL, wait=STATE_LIMIT)

    def wait(self, compute, status):
        server = self.do("show", compute.get_server, self.server.id)
        self.do(f"wait for {status}", compute.wait_for_server, server, status=status, interval=POLL, wait=STATE_LIMIT)

    def list(self, compute):
        servers = self.do("list", lambda: list(compute.servers(details=True)))
        if self.server and self.server.id not in [each.id for each in servers]:
            raise LookupError(f"{self.server.id} is not in the list")

    def fault(self):
        """What the server says about itself, for the line of the failure."""
        try:
            server = self.connection.compute.get_server(self.server.id)
            return f"({server.id}: {server.status}, {server.task_state}, {server.fault})"
        except Exception:
            return f"({self.server.id})" if self.server else ""


class Lister(Worker):
    """A client that reads without a pause, so that some request is always under way."""

    def round(self, compute):
        for _ in range(20):
            self.list(compute)
            self.do("list flavors", lambda: list(compute.flavors()))
            self.do("list images", lambda: list(self.connection.image.images()))
            self.do("list networks", lambda: list(self.connection.network.networks()))


def connect(cloud):
    connection = openstack.connect(cloud=cloud)
    connection.authorize()
    return connection


# --- the cloud and its balancer ---------------------------------------------------------------------------------------


class Cloud:
    def __init__(self, topology, folder):
        self.folder = folder
        # It ends when its standard input does, so also when this process is killed.
        with open(f"{folder}/ready.json", "w") as out, open(f"{folder}/dev.log", "w") as log:
            self.child = subprocess.Popen(
                [f"{os.environ['CELLWRIGHT_BINARIES']}/cellwright", "dev", topology, "--replicas", "2", "--output", "json",
                 "--while-stdin-open", "--folder", f"{folder}/cloud", "--first-port", str(random.randrange(200, 300) * 100)],
                stdin=subprocess.PIPE, stdout=out, stderr=log, start_new_session=True)
        self.balancer = None

    def start(self):
        end = time.monotonic() + START_LIMIT
        while not open(f"{self.folder}/ready.json").read().endswith("\n"):
            if self.child.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"the cloud is not ready: {open(f'{self.folder}/dev.log').read()[-2000:]}")
            time.sleep(0.1)
        self.ready = json.load(open(f"{self.folder}/ready.json"))
        self.processes = {process["name"]: process for process in self.ready["processes"]}
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        first, second = (self.processes[name]["ops"].removeprefix("http://") for name in ("api", "api@2"))
        with open(f"{self.folder}/haproxy.cfg", "w") as file:
            file.write(BALANCER.format(folder=self.folder, port=port, first=first, second=second))
        with open(f"{self.folder}/haproxy.log", "w") as log:
            self.balancer = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", "haproxy", "-db", "-f", f"{self.folder}/haproxy.cfg"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        until("the balancer serves", BACK_LIMIT, lambda: is_healthy(self.url))
        # The clouds.yaml that `cellwright dev` wrote, with the balancer's address.
        with open(f"{self.folder}/clouds.yaml", "w") as file:
            file.write(open(self.ready["cloudsFile"]).read().replace(self.ready["url"], self.url))
        os.environ["OS_CLIENT_CONFIG_FILE"] = f"{self.folder}/clouds.yaml"

    def pid(self, name):
        """The process id now: the process that was started with the settings of that name."""
        wanted = self.processes[name]["configuration"].encode()
        for entry in os.listdir("/proc"):
            try:
                if entry.isdigit() and wanted in open(f"/proc/{entry}/cmdline", "rb").read().split(b"\0"):
                    return int(entry)
            except OSError:
                continue
        return None

    def balancer_figures(self):
        """Requests and 5xx answers to clients, and how often a request went out again."""
        with socket.socket(socket.AF_UNIX) as stats:
            stats.connect(f"{self.folder}/haproxy.sock")
            stats.sendall(b"show stat\n")
            lines = b"".join(iter(lambda: stats.recv(65536), b"")).decode().lstrip("# ").splitlines()
        rows = [dict(zip(lines[0].split(","), line.split(","))) for line in lines[1:]]
        backend = next(row for row in rows if row.get("svname") == "BACKEND")
        return f"{backend['req_tot']} requests, {backend['wretr']} repeated, {backend['hrsp_5xx']} answers with 5xx"

    def end(self):
        if self.balancer:
            self.balancer.terminate()
            self.balancer.wait()
        self.child.stdin.close()
        try:
            self.child.wait(60)
        except subprocess.TimeoutExpired:
            # Its own guard ends what is left.
            self.child.kill()
            self.child.wait()


def is_healthy(url):
    try:
        return urllib.request.urlopen(f"{url}/healthz", timeout=2).status == 200
    except OSError:
        return False


def until(what, limit, condition):
    end = time.monotonic() + limit
    while not condition():
        if time.monotonic() > end:
            raise RuntimeError(f"not within {limit} s: {what}")
        time.sleep(0.1)


# --- the test ---------------------------------------------------------------------------------------------------------


def kill(victim, cloud, outcome):
    """Kills a process, keeps it away while the load goes on, and waits until it is back."""
    hold = f"{cloud.ready['folder']}/hold/{victim}"
    open(hold, "w").close()
    before, failed, began = outcome.count, outcome.failures, time.monotonic()
    outcome.away = victim
    os.kill(cloud.pid(victim), signal.SIGKILL)
    time.sleep(AWAY)
    # Each of them has ended something while it was away.
    until(f"operations while {victim} is away", STATE_LIMIT, lambda: outcome.count >= before + WORKERS)
    if cloud.pid(victim):
        raise RuntimeError(f"{victim} was not away")
    away, during = time.monotonic() - began, outcome.count - before
    os.remove(hold)
    until(f"{victim} is back", BACK_LIMIT, lambda: is_healthy(cloud.processes[victim]["ops"]))
    # The balancer has seen it, too.
    time.sleep(1)
    say(f"{victim}: away {away:.1f} s, back {time.monotonic() - began - away:.1f} s later; "
        f"{during} operations while it was away, {outcome.failures - failed} failed")


def clean_up(admin):
    """Deletes what is left of servers whose order was carried out twice; one that can't be deleted is a lost one."""
    def left():
        return list(admin.compute.servers(details=True, all_projects=True, name="replica-test"))
    count = len(servers := left())
    for server in servers:
        admin.compute.delete_server(server.id)
    until("no server is left", STATE_LIMIT, lambda: not left())
    return count


def test(cloud, outcome):
    admin, user = connect("cellwright-admin"), connect("cellwright")
    for connection in (admin, user):
        if not connection.compute.get_endpoint().startswith(cloud.url):
            raise RuntimeError(f"the catalog names {connection.compute.get_endpoint()}, the balancer is {cloud.url}")
    # Until the root hears of it, a deleted server counts.
    admin.compute.update_quota_set(user.current_project_id, instances=100, cores=100, ram=102_400)
    order = {
        "name": "replica-test", "flavor_id": user.compute.find_flavor("m1.nano").id,
        "image_id": user.image.find_image("cellwright-guest").id,
        "networks": [{"uuid": user.network.find_network("demo-net").id}],
    }
    workers = [Worker(f"worker {number + 1}", outcome, order) for number in range(WORKERS)] + [Lister("lister", outcome, order)]
    began = time.monotonic()
    try:
        for worker in workers:
            worker.start()
        until("some operations before anything is killed", STATE_LIMIT, lambda: outcome.count >= WORKERS * 10)
        for victim in VICTIMS:
            kill(victim, cloud, outcome)
        outcome.away = "nothing"
    finally:
        outcome.is_stopping = True
        for worker in workers:
            worker.join(4 * STATE_LIMIT)
    say(", ".join(f"{count} x {operation}" for operation, count in sorted(outcome.done.items())))
    say(f"balancer: {cloud.balancer_figures()}")
    say(f"servers left, of creates that were carried out twice or failed: {clean_up(admin)}")
    say(f"openstacksdk {metadata.version('openstacksdk')}: {len(VICTIMS)} processes killed, {outcome.count} operations in "
        f"{time.monotonic() - began:.0f} s, {outcome.failures} failed")


def main():
    topology, folder = sys.argv[1:3]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    signal.signal(signal.SIGHUP, lambda *_: sys.exit(1))
    outcome = Outcome()
    cloud = Cloud(topology, folder)
    try:
        cloud.start()
        test(cloud, outcome)
    except Exception as error:
        outcome.failures += 1
        say(f"FAILED: {error}")
        traceback.print_exc()
    finally:
        if outcome.failures and LOGS and os.path.isdir(f"{folder}/cloud/log"):
            shutil.copytree(f"{folder}/cloud/log", LOGS, dirs_exist_ok=True)
        cloud.end()
    say("FAILED" if outcome.failures else "passed")
    sys.exit(1 if outcome.failures else 0)


main()
