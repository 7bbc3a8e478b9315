"""What a user of the Python client `kubernetes` does, against the cluster of KUBECONFIG.

Prints what it saw; whatever differs from run to run is left out. Ends with an exception when
something is not as on any cluster.
"""

import json
import threading

from kubernetes import client, config, dynamic, watch
from kubernetes.client.rest import ApiException
from kubernetes.dynamic.exceptions import NotFoundError
from kubernetes.stream import portforward, stream

NAMESPACE = "python"
# Nothing takes longer, unless it never ends.
PATIENCE = 90

config.load_kube_config()
api = client.ApiClient()
core = client.CoreV1Api()
apps = client.AppsV1Api()


def chapter(title):
    print(f"\n== {title}")


def own(annotations):
    """Without those of the controller of Deployments, which comes when it comes."""
    ours = {key: value for key, value in (annotations or {}).items() if "kubernetes.io/" not in key}
    return ours or None


def refusal(call):
    """Prints the error that a call must end with."""
    try:
        answer = call()
    except ApiException as error:
        status = json.loads(error.body)
        causes = [cause.get("field") for cause in status.get("details", {}).get("causes", [])]
        print(f"refused: {error.status} {status['reason']}: {status['message']} {causes}")
        return
    raise AssertionError(f"not refused: {answer}")


def config_map(name, data, labels=None):
    return client.V1ConfigMap(
        metadata=client.V1ObjectMeta(name=name, labels=labels), data=data
    )


def namespace():
    chapter("A namespace")
    wish = client.V1Namespace(metadata=client.V1ObjectMeta(name=NAMESPACE))
    made = core.create_namespace(wish)
    print(made.status.phase, made.metadata.labels, made.spec.finalizers)
    # Pods need an account, which a controller makes.
    for event in watch.Watch().stream(
        core.list_namespaced_service_account, NAMESPACE, timeout_seconds=PATIENCE
    ):
        print(event["type"], event["object"].kind, event["object"].metadata.name)
        break
    refusal(lambda: core.create_namespace(wish))


def lists():
    chapter("Lists")
    for number in range(7):
        core.create_namespaced_config_map(
            NAMESPACE, config_map(f"m{number}", {"n": str(number)}, {"odd": str(number % 2)})
        )
    odd = core.list_namespaced_config_map(NAMESPACE, label_selector="odd=1")
    print("odd:", [item.metadata.name for item in odd.items])
    one = core.list_namespaced_config_map(NAMESPACE, field_selector="metadata.name=m3")
    print("one:", [item.metadata.name for item in one.items])
    token, pages = None, []
    while True:
        page = core.list_namespaced_config_map(
            NAMESPACE, label_selector="odd", limit=3, _continue=token
        )
        pages.append([item.metadata.name for item in page.items])
        left = page.metadata.remaining_item_count
        token = page.metadata._continue
        print("page:", pages[-1], "left:", left)
        if not token:
            break
    everywhere = core.list_config_map_for_all_namespaces(label_selector="odd=0")
    print("everywhere:", [item.metadata.name for item in everywhere.items])
    refusal(lambda: core.read_namespaced_config_map("nobody", NAMESPACE))
    try:
        core.list_namespaced_config_map(NAMESPACE, label_selector="a in (b")
        raise AssertionError("a selector that is none selects something")
    except ApiException as error:
        print("no selector:", error.status, json.loads(error.body)["reason"])


def watches():
    chapter("Watches")
    listed = core.list_namespaced_config_map(NAMESPACE, label_selector="odd=1")
    start = listed.metadata.resource_version

    def change():
        core.patch_namespaced_config_map("m1", NAMESPACE, {"data": {"n": "one"}})
        core.patch_namespaced_config_map("m1", NAMESPACE, {"metadata": {"labels": {"odd": "0"}}})
        core.patch_namespaced_config_map("m0", NAMESPACE, {"metadata": {"labels": {"odd": "1"}}})
        core.delete_namespaced_config_map("m3", NAMESPACE)
        core.create_namespaced_config_map(NAMESPACE, config_map("m7", {}, {"odd": "1"}))

    def events(count, since):
        watcher = watch.Watch()
        seen = []
        for event in watcher.stream(
            core.list_namespaced_config_map,
            NAMESPACE,
            label_selector="odd=1",
            resource_version=since,
            timeout_seconds=PATIENCE,
        ):
            meta = event["object"].metadata
            seen.append((event["type"], meta.name, meta.resource_version))
            if len(seen) == count:
                watcher.stop()
        return seen

    changes = threading.Thread(target=change)
    changes.start()
    seen = events(5, start)
    changes.join()
    for kind, name, _ in seen:
        print(kind, name)
    assert events(3, seen[1][2]) == seen[2:], "a watch resumes after what was seen"
    revisions = [int(revision) for _, _, revision in seen]
    assert revisions == sorted(set(revisions)), revisions
    ended = list(
        watch.Watch().stream(
            core.list_namespaced_config_map,
            NAMESPACE,
            resource_version=seen[-1][2],
            timeout_seconds=1,
        )
    )
    print("after the last:", ended)


def patches():
    chapter("Patches")
    apps.create_namespaced_deployment(NAMESPACE, deployment())
    # The body decides the kind of patch: a dictionary is strategic, a list is JSON patch.
    patched = apps.patch_namespaced_deployment(
        "web",
        NAMESPACE,
        {
            "spec": {
                "template": {
                    "spec": {"containers": [{"name": "main", "env": [{"name": "A", "value": "1"}]}]}
                }
            }
        },
    )
    container = patched.spec.template.spec.containers[0]
    print("strategic:", container.image, [(e.name, e.value) for e in container.env])
    patched = apps.patch_namespaced_deployment(
        "web",
        NAMESPACE,
        [
            {"op": "test", "path": "/spec/replicas", "value": 0},
            {"op": "add", "path": "/metadata/annotations", "value": {"by": "json-patch"}},
        ],
    )
    print("json:", own(patched.metadata.annotations))
    try:
        test = [{"op": "test", "path": "/spec/replicas", "value": 5}]
        apps.patch_namespaced_deployment("web", NAMESPACE, test)
        raise AssertionError("a test that fails is passed over")
    except ApiException as error:
        print("json test:", error.status, error.reason)
    patched = apps.patch_namespaced_deployment(
        "web",
        NAMESPACE,
        {"metadata": {"annotations": {"by": None, "now": "merge"}}},
        _content_type="application/merge-patch+json",
    )
    print("merge:", own(patched.metadata.annotations))
    applied = apps.patch_namespaced_deployment(
        "web",
        NAMESPACE,
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "web", "labels": {"applied": "yes"}},
        },
        field_manager="python",
        force=True,
        _content_type="application/apply-patch+yaml",
    )
    managers = sorted({(m.manager, m.operation) for m in applied.metadata.managed_fields})
    managers = [m for m in managers if m[1] == "Apply"]
    print("apply:", applied.metadata.labels, managers)
    scale = apps.patch_namespaced_deployment_scale("web", NAMESPACE, {"spec": {"replicas": 1}})
    print("scale:", scale.spec.replicas)
    first = core.read_namespaced_config_map("m2", NAMESPACE)
    stale = core.read_namespaced_config_map("m2", NAMESPACE)
    first.data = {"n": "two"}
    core.replace_namespaced_config_map("m2", NAMESPACE, first)
    stale.data = {"n": "zwei"}
    refusal(lambda: core.replace_namespaced_config_map("m2", NAMESPACE, stale))
    refusal(
        lambda: apps.patch_namespaced_deployment("web", NAMESPACE, {"spec": {"replicas": -1}})
    )
    dry = core.patch_namespaced_config_map(
        "m2", NAMESPACE, {"data": {"n": "dry"}}, dry_run="All"
    )
    print("dry run:", dry.data, core.read_namespaced_config_map("m2", NAMESPACE).data)


def deployment():
    container = client.V1Container(
        name="main", image="local/host:latest", command=["sleep", "1000"]
    )
    return client.V1Deployment(
        metadata=client.V1ObjectMeta(name="web"),
        spec=client.V1DeploymentSpec(
            replicas=0,
            selector=client.V1LabelSelector(match_labels={"app": "web"}),
            template=client.V1PodTemplateSpec(
                metadata=client.V1ObjectMeta(labels={"app": "web"}),
                spec=client.V1PodSpec(containers=[container], termination_grace_period_seconds=1),
            ),
        ),
    )


DEFINITION = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "crontabs.stable.example.com"},
    "spec": {
        "group": "stable.example.com",
        "scope": "Namespaced",
        "names": {
            "plural": "crontabs",
            "singular": "crontab",
            "kind": "CronTab",
            "shortNames": ["ct"],
        },
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {
                                "type": "object",
                                "required": ["schedule"],
                                "properties": {
                                    "schedule": {"type": "string", "pattern": "^[0-9* /]+$"},
                                    "replicas": {"type": "integer", "default": 1, "minimum": 0},
                                },
                            },
                            "status": {
                                "type": "object",
                                "properties": {"runs": {"type": "integer"}},
                            },
                        },
                    }
                },
            }
        ],
    },
}


def dynamic_client():
    chapter("The dynamic client")
    dyn = dynamic.DynamicClient(api)
    definitions = dyn.resources.get(
        api_version="apiextensions.k8s.io/v1", kind="CustomResourceDefinition"
    )
    definitions.create(body=DEFINITION)
    for event in definitions.watch(
        field_selector="metadata.name=crontabs.stable.example.com", timeout=PATIENCE
    ):
        conditions = event["object"].to_dict().get("status", {}).get("conditions", [])
        if any(c["type"] == "Established" and c["status"] == "True" for c in conditions):
            break
    dyn.resources.invalidate_cache()
    tabs = dyn.resources.get(api_version="stable.example.com/v1", kind="CronTab")
    print(tabs.name, tabs.singular_name, tabs.short_names, tabs.namespaced, sorted(tabs.verbs))
    body = {
        "apiVersion": "stable.example.com/v1",
        "kind": "CronTab",
        "metadata": {"name": "nightly"},
        "spec": {"schedule": "0 3 * * *"},
    }
    made = tabs.create(body=body, namespace=NAMESPACE)
    print("made:", made.spec.to_dict(), made.metadata.generation)
    bad = {**body, "metadata": {"name": "bad"}, "spec": {"schedule": "at night"}}
    refusal(lambda: tabs.create(body=bad, namespace=NAMESPACE))
    merge = "application/merge-patch+json"
    patched = tabs.patch(
        body={"metadata": {"name": "nightly"}, "spec": {"replicas": 3}},
        namespace=NAMESPACE,
        content_type=merge,
    )
    print("patched:", patched.spec.to_dict(), patched.metadata.generation)
    status = tabs.status.patch(
        body={"metadata": {"name": "nightly"}, "spec": {"replicas": 9}, "status": {"runs": 2}},
        namespace=NAMESPACE,
        content_type=merge,
    )
    print("status:", status.spec.replicas, status.status.runs, status.metadata.generation)
    applied = tabs.server_side_apply(
        body={**body, "spec": {"schedule": "0 4 * * *"}},
        namespace=NAMESPACE,
        field_manager="python",
        force_conflicts=True,
    )
    print("applied:", applied.spec.to_dict())
    print("listed:", [tab.metadata.name for tab in tabs.get(namespace=NAMESPACE).items])
    tabs.delete(name="nightly", namespace=NAMESPACE)
    try:
        tabs.get(name="nightly", namespace=NAMESPACE)
        raise AssertionError("a deleted object is there")
    except NotFoundError as error:
        print("gone:", error.summary())
    # What is built in works the same way.
    pods = dyn.resources.get(api_version="v1", kind="Pod")
    print(pods.name, sorted({"exec", "log", "status"} & set(pods.subresources)))
    definitions.delete(name="crontabs.stable.example.com")


POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "worker", "labels": {"app": "worker"}},
    "spec": {
        "terminationGracePeriodSeconds": 1,
        "containers": [
            {
                "name": "main",
                "image": "local/host:latest",
                "command": ["python3", "-c"],
                "args": [
                    "import os, socketserver\n"
                    "class Echo(socketserver.StreamRequestHandler):\n"
                    "    def handle(self):\n"
                    "        self.wfile.write(self.rfile.readline().upper())\n"
                    "socketserver.TCPServer.allow_reuse_address = True\n"
                    "server = socketserver.TCPServer((os.environ['POD_IP'], 8079), Echo)\n"
                    "print('ready', flush=True)\n"
                    "server.serve_forever()\n"
                ],
                "env": [
                    {"name": "GREETING", "value": "hello"},
                    {
                        "name": "POD_IP",
                        "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}},
                    },
                ],
            }
        ],
    },
}


def a_pod():
    chapter("A pod")
    core.create_namespaced_pod(NAMESPACE, POD)
    phases = []
    for event in watch.Watch().stream(
        core.list_namespaced_pod,
        NAMESPACE,
        field_selector="metadata.name=worker",
        timeout_seconds=PATIENCE,
    ):
        phase = event["object"].status.phase
        if not phases or phases[-1] != phase:
            phases.append(phase)
        if phase == "Running":
            break
    print("phases:", phases)
    follow = watch.Watch()
    for line in follow.stream(core.read_namespaced_pod_log, "worker", NAMESPACE, follow=True):
        print("log:", line)
        break
    follow.stop()


def run(command, **options):
    return stream(
        core.connect_get_namespaced_pod_exec,
        "worker",
        NAMESPACE,
        command=command,
        stderr=True,
        stdin=options.pop("stdin", False),
        stdout=True,
        tty=False,
        **options,
    )


def exec_():
    chapter("Commands in the pod")
    print("answer:", run(["sh", "-c", "echo $GREETING"]).strip())
    session = run(["sh"], stdin=True, _preload_content=False)
    session.write_stdin("echo one; echo two >&2\n")
    print("stdout:", session.readline_stdout(timeout=PATIENCE))
    print("stderr:", session.readline_stderr(timeout=PATIENCE))
    session.write_stdin("exit 3\n")
    session.run_forever(timeout=PATIENCE)
    print("exit code:", session.returncode)
    session.close()
    big = run(["sh", "-c", "head -c 300000 /dev/zero | tr '\\0' x"])
    print("characters:", len(big))
    failed = run(["/no/such/program"], _preload_content=False)
    failed.run_forever(timeout=PATIENCE)
    print("no such program:", failed.returncode)
    forward = portforward(core.connect_get_namespaced_pod_portforward, "worker", NAMESPACE, ports="8079")
    socket = forward.socket(8079)
    socket.setblocking(True)
    socket.settimeout(PATIENCE)
    socket.sendall(b"through the forwarded port\n")
    print("forwarded:", socket.recv(100).decode().strip(), forward.error(8079))
    socket.close()


def the_end():
    chapter("The end")
    core.delete_namespaced_pod("worker", NAMESPACE)
    apps.delete_namespaced_deployment("web", NAMESPACE, propagation_policy="Foreground")
    core.delete_collection_namespaced_config_map(NAMESPACE, label_selector="odd=0")
    left = core.list_namespaced_config_map(NAMESPACE, label_selector="odd")
    print("left:", [item.metadata.name for item in left.items])
    since = core.list_namespace(field_selector=f"metadata.name={NAMESPACE}")
    ended = core.delete_namespace(NAMESPACE)
    # The answer is the namespace, not the Status that the client expects.
    print("namespace:", ended["kind"], ended["status"]["phase"])
    for event in watch.Watch().stream(
        core.list_namespace,
        field_selector=f"metadata.name={NAMESPACE}",
        resource_version=since.metadata.resource_version,
        timeout_seconds=PATIENCE,
    ):
        if event["type"] == "DELETED":
            print("DELETED", event["object"].metadata.name)
            break
    print("pods:", len(core.list_namespaced_pod(NAMESPACE).items))


namespace()
lists()
watches()
patches()
dynamic_client()
a_pod()
exec_()
the_end()
