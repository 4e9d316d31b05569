import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { DockerfileParser } from 'dockerfile-ast';
import { parseAllDocuments } from 'yaml';
import { clientBin, dcacheBin, run } from './harness.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const read = (path: string): string => readFileSync(join(root, path), 'utf8');

/** The flags that a program's help names. */
function flagsOf(bin: string, ...command: string[]): Set<string> {
  const help = execFileSync(process.execPath, [bin, ...command, '--help'], { encoding: 'utf8' });
  return new Set([...help.matchAll(/--[a-z][a-z-]*/g)].map(([flag]) => flag));
}

const serverFlags = flagsOf(dcacheBin);
const clientFlags = new Set(
  [[], ['set'], ['get'], ['delete'], ['snapshot-restore'], ['bench']].flatMap((command) => [
    ...flagsOf(clientBin, ...command),
  ]),
);

/** Every `--flag` in what is given to `dcache` there. */
function checkFlags(text: string, flags: ReadonlySet<string>, where: string): void {
  const used = [...text.matchAll(/(?<![\w-])--[a-z][a-z-]*/g)].map(([flag]) => flag);
  assert.ok(used.length > 0, `${where} gives no flag`);
  for (const flag of used) assert.ok(flags.has(flag), `${where} gives ${flag}, which the command line does not take`);
}

test('the Dockerfile builds in stages, runs as nobody in particular, and tells whether it lives', () => {
  const file = DockerfileParser.parse(read('Dockerfile'));
  const instructions = file.getInstructions().map((one) => ({
    keyword: one.getKeyword(),
    text: one.getRawArgumentsContent() ?? '',
  }));
  const of = (keyword: string): string[] =>
    instructions.filter((one) => one.keyword === keyword).map((one) => one.text);
  const known = new Set(
    ['FROM', 'ARG', 'WORKDIR', 'COPY', 'RUN', 'ENV', 'USER', 'VOLUME', 'EXPOSE'].concat(
      'HEALTHCHECK',
      'ENTRYPOINT',
      'CMD',
    ),
  );
  for (const { keyword } of instructions) assert.ok(known.has(keyword), `${keyword} is none that is needed here`);

  const froms = file.getFROMs();
  assert.equal(froms.length, 2);
  assert.equal(froms[0]?.getBuildStage(), 'build');
  const image = of('ARG').find((text) => text.startsWith('NODE_IMAGE='))!;
  assert.match(image, /^NODE_IMAGE=node:\d+(\.\d+)*-slim$/, 'a version is pinned');
  const engines = JSON.parse(read('package.json')) as { engines: { node: string } };
  const [major] = /\d+/.exec(image.slice('NODE_IMAGE=node:'.length))!;
  assert.ok(Number(major) >= Number(/\d+/.exec(engines.engines.node)![0]), 'one that is supported');

  const final = instructions.slice(instructions.findLastIndex((one) => one.keyword === 'FROM'));
  const user = final.findIndex((one) => one.keyword === 'USER');
  assert.ok(user > 0 && !/^(root|0)\b/.test(final[user]!.text), 'not as root');
  assert.ok(!final.slice(user).some((one) => one.keyword === 'RUN'), 'nothing is installed after that');
  assert.ok(!final.some((one) => one.keyword === 'RUN' && /npm|apt/.test(one.text)), 'no package manager in what runs');
  const copies = file.getCOPYs().filter((copy) => copy.getRange().start.line > froms[1]!.getRange().start.line);
  assert.ok(copies.length > 0);
  for (const copy of copies) assert.equal(copy.getFromFlag()?.getValue(), 'build', 'what runs is what was built');
  assert.match(of('RUN').join('\n'), /npm ci --omit=dev /);
  assert.doesNotMatch(of('RUN').join('\n'), /npm install/, 'only what the lock file says');
  assert.doesNotMatch(of('ENV').join('\n'), /TOKEN|KEY|SECRET|ENCRYPT/i, 'no secrets in layers');
  for (const variable of of('ENV')
    .join(' ')
    .match(/DCACHE_\w+/g) ?? [])
    assert.ok(serverFlags.has(`--${variable.slice(7).toLowerCase().replaceAll('_', '-')}`), variable);
  for (const keyword of ['ENTRYPOINT', 'CMD'])
    assert.ok(Array.isArray(JSON.parse(of(keyword).at(-1)!)), 'no shell between');
  assert.deepEqual(of('EXPOSE').join(' ').split(' ').sort(), ['9000/tcp', '9000/udp', '9200']);
  // What it copies is there, and not kept out.
  const ignored = read('.dockerignore').split('\n');
  for (const text of instructions
    .slice(0, -final.length)
    .filter((one) => one.keyword === 'COPY')
    .map((one) => one.text))
    for (const source of text.split(' ').slice(0, -1)) {
      assert.ok(ignored.includes(`!${source}`), `${source} is kept out by .dockerignore`);
      assert.ok(readdirSync(join(root, source, '..')).length > 0);
    }
});

test("the image's health check tells a server that answers from one that does not", async () => {
  const text = DockerfileParser.parse(read('Dockerfile')).getHEALTHCHECKs()[0]!.getRawArgumentsContent()!;
  const [, ...args] = JSON.parse(text.slice(text.indexOf('[')).replace(/\\\n/g, '')) as string[];
  const { createServer } = await import('node:http');
  let status = 200;
  const server = createServer((request, response) => {
    assert.equal(request.url, '/-/live');
    response.writeHead(status).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  const check = () => run('env', [`DCACHE_RPC_PORT=${port}`, process.execPath, ...args]);
  try {
    assert.equal((await check()).code, 0);
    status = 400;
    assert.equal((await check()).code, 0, 'a port that speaks TLS');
    status = 503;
    assert.equal((await check()).code, 1);
  } finally {
    await new Promise((resolve) => server.close(resolve));
  }
  assert.equal((await check()).code, 1, 'nobody there');
});

interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string };
  // biome-ignore lint/suspicious/noExplicitAny: a manifest of any kind; what is looked at is asserted.
  readonly spec: any;
}

test('the Kubernetes manifests fit together, and start dcache with flags that it takes', async () => {
  const text = read('deploy/kubernetes/dcache.yaml');
  const documents = parseAllDocuments(text);
  for (const document of documents) assert.deepEqual(document.errors, []);
  const all = documents.map((document) => document.toJS() as Manifest);
  const one = (kind: string, name: string): Manifest => {
    const found = all.find((manifest) => manifest.kind === kind && manifest.metadata.name === name);
    assert.ok(found, `no ${kind} ${name}`);
    return found;
  };
  const set = one('StatefulSet', 'dcache').spec;
  const peers = one('Service', set.serviceName).spec;
  assert.equal(peers.clusterIP, 'None', 'headless: its name is every pod');
  assert.equal(peers.publishNotReadyAddresses, true, 'nodes find each other before they are ready');
  const pod = set.template.spec;
  const [container] = pod.containers;
  const labels = set.template.metadata.labels;
  for (const selector of [
    ...[set.selector.matchLabels, peers.selector, one('Service', 'dcache').spec.selector],
    one('PodDisruptionBudget', 'dcache').spec.selector.matchLabels,
  ])
    assert.deepEqual(selector, labels);
  const replicas = set.replicas as number;
  assert.ok(replicas % 2 === 1 && replicas >= 3);
  assert.equal(set.podManagementPolicy, 'Parallel', 'after all went, the first is not ready before a second is there');
  assert.ok(one('PodDisruptionBudget', 'dcache').spec.maxUnavailable <= (replicas - 1) / 2, 'a quorum stays');
  assert.ok(pod.terminationGracePeriodSeconds > 15, 'longer than a node may take to stop');
  assert.equal(pod.enableServiceLinks, false);
  assert.equal(pod.securityContext.runAsNonRoot, true);
  assert.equal(container.securityContext.readOnlyRootFilesystem, true);
  const volumes = [...pod.volumes, ...set.volumeClaimTemplates.map((claim: Manifest) => claim.metadata)];
  for (const mount of container.volumeMounts)
    assert.ok(
      volumes.some((volume) => volume.name === mount.name),
      mount.name,
    );

  const ports = new Map<string, number>(
    container.ports.map((port: { name: string; containerPort: number }) => [port.name, port.containerPort]),
  );
  for (const probe of ['startupProbe', 'livenessProbe', 'readinessProbe'])
    assert.ok(ports.has(container[probe].httpGet.port), probe);
  assert.equal(container.livenessProbe.httpGet.path, '/-/live');
  assert.equal(container.readinessProbe.httpGet.path, '/-/ready');

  const script = container.args[0] as string;
  checkFlags(script, serverFlags, 'the StatefulSet');
  for (const variable of container.env as { name: string }[])
    if (variable.name.startsWith('DCACHE_'))
      assert.ok(serverFlags.has(`--${variable.name.slice(7).toLowerCase().replaceAll('_', '-')}`), variable.name);
  assert.match(script, new RegExp(`--join ${set.serviceName}:${ports.get('serf')}`));
  assert.match(script, new RegExp(`--rpc-port ${ports.get('rpc')}`));
  assert.match(script, new RegExp(`--addr 0\\.0\\.0\\.0:${ports.get('serf')}`));
  const mounted = container.volumeMounts.map((mount: { mountPath: string }) => mount.mountPath) as string[];
  for (const [, path] of script.matchAll(/(?:--data-dir|-file) (\/\S+)/g))
    assert.ok(
      mounted.some((mount) => path!.startsWith(mount)),
      `${path} is on no volume`,
    );

  // What the shell makes of it, for the first pod and another, is taken by the real command line.
  const folder = mkdtempSync(join(tmpdir(), 'dcache-deploy-'));
  try {
    writeFileSync(join(folder, 'dcache'), `#!/bin/sh\nexec '${process.execPath}' '${dcacheBin}' config "$@"\n`, {
      mode: 0o755,
    });
    const tokens = join(folder, 'tokens');
    writeFileSync(tokens, 'a-token-of-sixteen\n');
    // Only the tokens are not where the pod has them.
    const here = script.replace('/etc/dcache/tokens', tokens);
    const key = Buffer.alloc(32, 's').toString('base64');
    for (const [name, founds] of [
      ['dcache-0', 'true'],
      ['dcache-1', 'false'],
      ['dcache-10', 'false'],
    ] as const) {
      const env = {
        PATH: `${folder}:${process.env['PATH']}`,
        POD_NAME: name,
        POD_IP: '10.1.2.3',
        DCACHE_ENCRYPT: key,
      };
      const [shell, ...options] = container.command as string[];
      const { status, stdout, stderr } = spawnSync(shell!, [...options, here], { env, encoding: 'utf8' });
      assert.equal(status, 0, stderr);
      assert.match(stdout, new RegExp(`^bootstrap = ${founds} `, 'm'));
      assert.match(stdout, new RegExp(`^id = ${name} `, 'm'));
      assert.match(stdout, /^advertise = 10\.1\.2\.3 /m);
      assert.match(stdout, /^in-memory = false /m);
      assert.ok(!stdout.includes(key), 'a secret is not printed');
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});

const hasSystemd = spawnSync('systemd-analyze', ['--version']).status === 0;

test('the systemd unit is one that systemd takes', {
  skip: hasSystemd ? false : 'systemd-analyze is not on the PATH',
}, () => {
  const folder = mkdtempSync(join(tmpdir(), 'dcache-unit-'));
  try {
    // The program is not installed here; all else is looked at as it is.
    const unit = read('deploy/systemd/dcache.service').replace('=/usr/local/bin/dcache', '=/bin/true');
    writeFileSync(join(folder, 'dcache.service'), unit);
    const { status, stderr } = spawnSync('systemd-analyze', ['verify', join(folder, 'dcache.service')], {
      encoding: 'utf8',
    });
    assert.deepEqual([status, stderr], [0, '']);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('the systemd unit and its configuration say what dcache takes', async () => {
  const unit = read('deploy/systemd/dcache.service').replace(/\\\n/g, ' ');
  const start = /^ExecStart=(.*)$/m.exec(unit)![1]!;
  checkFlags(start, new Set([...serverFlags, '--conf']), 'the unit');
  assert.ok(Number(/^TimeoutStopSec=(\d+)$/m.exec(unit)![1]) > 15, 'longer than a node may take to stop');
  assert.match(unit, /^User=dcache$|^DynamicUser=yes$/m);
  const state = /^StateDirectory=(.*)$/m.exec(unit)![1]!;
  assert.match(unit, new RegExp(`--data-dir /var/lib/${state}\\b`));

  // What systemd makes of the command line is taken, and has what only root may read from the credentials.
  const folder = mkdtempSync(join(tmpdir(), 'dcache-unit-'));
  try {
    const copies = new Set([...unit.matchAll(/^LoadCredential=(\w+):\/etc\/dcache\//gm)].map(([, name]) => name!));
    for (const name of copies) writeFileSync(join(folder, name), 'Zc8q1rX0nT5yQ2wE\n');
    const config = join(root, 'deploy/systemd/dcache.toml');
    const [, ...args] = start
      .replace(/\$\{CREDENTIALS_DIRECTORY\}/g, folder)
      .replace('/etc/dcache/dcache.toml', config)
      .split(/ +/);
    const { code, stdout, stderr } = await run(process.execPath, [dcacheBin, 'config', ...args]);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^bootstrap = true +# file /m);
    const files = [...stdout.matchAll(/^(\S+)-file = (.*?) +# (?:file|flag)/gm)].filter(
      ([, name]) => !name!.endsWith('-ca'),
    );
    assert.ok(files.length > 0);
    for (const [, name, path] of files)
      assert.ok(
        path!.startsWith(`${folder}/`) && copies.has(path!.slice(folder.length + 1)),
        `${name}: ${path} is of root alone, and the unit runs as another`,
      );
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('what the README shows of dcache config is what it prints', () => {
  const blocks = [...read('README.md').matchAll(/^\$ (.*npx dcache config.*)\n([^$`]*)/gm)];
  assert.ok(blocks.length > 0, 'the sample is found');
  for (const [, command, shown] of blocks) {
    const line = command!.replace('npx dcache', `'${process.execPath}' '${dcacheBin}'`);
    const { stdout, stderr } = spawnSync('sh', ['-c', line], { encoding: 'utf8' });
    assert.deepEqual([stdout, stderr], [shown, '']);
  }
});

test('what is to be installed is the server, the client, and all packages of here that they need', () => {
  const list = /npm pack --pack-destination dist \.\/packages\/\{(.*)\}/
    .exec(read('docs/operations.md'))![1]!
    .split(',');
  const packages = new Map(
    readdirSync(join(root, 'packages')).map((folder) => {
      const { name, dependencies = {} } = JSON.parse(read(`packages/${folder}/package.json`)) as {
        name: string;
        dependencies?: Record<string, string>;
      };
      return [name, { folder, needs: Object.keys(dependencies) }];
    }),
  );
  const needed = new Set<string>();
  const visit = (name: string): void => {
    const found = packages.get(name);
    if (found === undefined || needed.has(found.folder)) return;
    needed.add(found.folder);
    for (const other of found.needs) visit(other);
  };
  visit('dcache');
  visit('@dcache/client');
  assert.deepEqual(list, [...needed].sort());
});

test('every command line of the documentation takes the flags that it is given there', () => {
  for (const path of ['README.md', 'docs/operations.md', 'docs/security.md', 'packages/client/README.md']) {
    const text = read(path).replace(/\\\n/g, ' ');
    const lines = [...text.matchAll(/^(?: *[$#] | *)(?:npx |exec )?(dcache(?:-client)?) (.*)$/gm)];
    const inline = [...text.matchAll(/`(dcache(?:-client)?) (-?[a-z][^`\n]*)`/g)];
    for (const [, program, rest] of [...lines, ...inline]) {
      const given = rest!.split(/ [#&|<>] ?/)[0]!;
      const flags = program === 'dcache' ? serverFlags : clientFlags;
      for (const [flag] of given.matchAll(/(?<![\w-])--[a-z][a-z-]*/g))
        assert.ok(flags.has(flag), `${path}: ${program} does not take ${flag}`);
    }
    for (const [, flag] of text.matchAll(/`(--[a-z][a-z-]*)/g))
      assert.ok(serverFlags.has(flag!) || clientFlags.has(flag!), `${path} names ${flag}, which nothing takes`);
    assert.ok(path !== 'docs/operations.md' || lines.length + inline.length > 8, 'the commands are found');
  }
});
