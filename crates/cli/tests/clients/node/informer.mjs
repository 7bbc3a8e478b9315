// What a user of an informer of @kubernetes/client-node does, against the cluster of KUBECONFIG.
//
// Prints the events it got; whatever differs from run to run is left out. In between it asks, on a
// line of its own, for a restart of the cluster, and goes on when it reads a line. Ends with an
// exception when something is not as on any cluster.

import readline from 'node:readline';

import * as k8s from '@kubernetes/client-node';

const namespace = 'node';
// Nothing takes longer, unless it never ends.
const patience = 90_000;

const config = new k8s.KubeConfig();
config.loadFromDefault();
const core = config.makeApiClient(k8s.CoreV1Api);

/// Tells of events as they come, and lets the story wait for them.
class Events {
    #waiting = [];
    #early = [];

    tell(event) {
        console.log(event);
        const at = this.#waiting.findIndex((one) => one.event === event);
        if (at < 0) this.#early.push(event);
        else this.#waiting.splice(at, 1)[0].resolve();
    }

    async until(event) {
        const at = this.#early.indexOf(event);
        if (at >= 0) {
            this.#early.splice(at, 1);
            return;
        }
        let timer;
        await new Promise((resolve, reject) => {
            timer = setTimeout(() => reject(new Error(`no event: ${event}`)), patience);
            this.#waiting.push({ event, resolve });
        });
        clearTimeout(timer);
    }

    left() {
        return this.#early;
    }
}

const configMap = (name, n, labels = { watched: 'yes' }) => ({
    metadata: { name, labels },
    data: { n },
});
const describe = (object) => `${object.metadata.name} ${object.data?.n}`;

const create = (name, n, labels) =>
    core.createNamespacedConfigMap({ namespace, body: configMap(name, n, labels) });
const replace = async (name, n) => {
    const body = await core.readNamespacedConfigMap({ namespace, name });
    body.data = { n };
    await core.replaceNamespacedConfigMap({ namespace, name, body });
};
const patch = (name, body) =>
    core.patchNamespacedConfigMap(
        { namespace, name, body },
        k8s.setHeaderOptions('Content-Type', k8s.PatchStrategy.MergePatch),
    );
const remove = (name) => core.deleteNamespacedConfigMap({ namespace, name });

console.log('== A list, and what happens then');
await core.createNamespace({ body: { metadata: { name: namespace } } });
await create('a', '1');
await create('b', '1');
await create('ignored', '1', {});

const events = new Events();
const informer = k8s.makeInformer(
    config,
    `/api/v1/namespaces/${namespace}/configmaps`,
    () => core.listNamespacedConfigMap({ namespace, labelSelector: 'watched=yes' }),
    'watched=yes',
);
informer.on('add', (object) => events.tell(`add ${describe(object)}`));
informer.on('update', (object) => events.tell(`update ${describe(object)}`));
informer.on('delete', (object) => events.tell(`delete ${describe(object)}`));
let broken = 0;
// The client's own advice: what breaks is started again.
informer.on('error', () => {
    broken += 1;
    setTimeout(() => informer.start(), 100);
});
await informer.start();
await events.until('add a 1');
await events.until('add b 1');
await replace('a', '2');
await events.until('update a 2');
await remove('b');
await events.until('delete b 1');
await patch('ignored', { metadata: { labels: { watched: 'yes' } } });
await events.until('add ignored 1');
await patch('ignored', { metadata: { labels: { watched: 'no' } } });
await events.until('delete ignored 1');
await create('b', '2');
await events.until('add b 2');
console.log('known:', informer.list().map(describe).sort());

console.log('== After a restart of the cluster');
const before = informer.latestResourceVersion?.();
console.log('please restart');
await new Promise((resolve) => readline.createInterface(process.stdin).once('line', resolve));
await create('c', '1');
await events.until('add c 1');
await replace('a', '3');
await events.until('update a 3');
await remove('b');
await events.until('delete b 2');
console.log('known:', informer.list().map(describe).sort());
if (broken === 0) throw new Error('the informer has not noticed the restart');
if (events.left().length > 0) throw new Error(`too many events: ${events.left()}`);
if (before !== undefined && Number(before) >= Number(informer.latestResourceVersion())) {
    throw new Error('revisions went back');
}

console.log('== The end');
await informer.stop();
await core.deleteNamespace({ name: namespace });
try {
    await core.readNamespacedConfigMap({ namespace, name: 'nobody' });
    throw new Error('it is there');
} catch (error) {
    if (!(error instanceof k8s.ApiException)) throw error;
    const status = JSON.parse(error.body);
    console.log(`refused: ${error.code} ${status.reason}: ${status.message}`);
}
process.exit(0);
