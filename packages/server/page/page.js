import { Chart } from './chart.js';

/** A page that was just opened shows a minute, not four empty ones. */
const minuteMs = 60_000;
const spansMs = [minuteMs, 2 * minuteMs, 5 * minuteMs];
const spanMs = spansMs.at(-1);
const intervalMs = 1_000;
/** An answer that takes longer is given up, so that the page tells it. */
const patienceMs = 4_000;
const readVerbs = new Set(['get', 'head', 'get_many', 'mget', 'exists']);
const tokenName = 'dcache-token';

const by = (id) => document.getElementById(id);
const say = (id, text) => {
  if (by(id).textContent !== text) by(id).textContent = text;
};

const count = (value) => Math.round(value).toLocaleString('en');
const short = (value) =>
  value >= 1_000_000 ? `${trim(value / 1_000_000)}M` : value >= 10_000 ? `${trim(value / 1_000)}k` : count(value);
const trim = (value) => value.toFixed(value < 10 ? 1 : 0).replace(/\.0$/, '');
const percent = (share) => `${trim(share * 100)}%`;

function bytes(value) {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  const power = value < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(value) / 10));
  return `${trim(value / 1_024 ** power)} ${units[power]}`;
}

function duration(ms) {
  if (ms < 1) return [count(ms * 1_000), 'µs'];
  return ms < 1_000 ? [trim(ms), 'ms'] : [trim(ms / 1_000), 's'];
}

function span(seconds) {
  const [unit, size] = [
    ['d', 86_400],
    ['h', 3_600],
    ['min', 60],
    ['s', 1],
  ].find(([, size]) => seconds >= size) ?? ['s', 1];
  return `${Math.floor(seconds / size)} ${unit}`;
}

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

const opsChart = new Chart(by('ops-chart'), {
  series: [
    { name: 'reads', className: 'read' },
    { name: 'writes', className: 'write' },
  ],
  format: short,
  spansMs,
});
const ratioChart = new Chart(by('ratio-chart'), {
  series: [{ name: 'hits', className: 'hit' }],
  format: percent,
  max: 1,
  spansMs,
});

/** One for each answer, with its rates against the one before. Invariant: not older than `spanMs`. */
let points = [];
let last;
/** When the first answer came. */
let openedMs;
/** A token is asked for: until there is one to try, another question would only be refused again. */
let isLocked = false;

function totals({ requests, hits, misses }) {
  const sums = { reads: 0, writes: 0, seconds: 0, hits, misses };
  for (const { verb, count, sumSeconds } of requests) {
    sums[readVerbs.has(verb) ? 'reads' : 'writes'] += count;
    sums.seconds += sumSeconds;
  }
  return sums;
}

function take(overview) {
  const atMs = performance.now();
  openedMs ??= atMs;
  const now = {
    ...totals(overview),
    monotonicMs: overview.monotonicMs,
    id: overview.status.raftId,
    uptime: overview.uptimeSeconds,
  };
  // Of a node that started anew the counters say nothing about the time before.
  if (last && now.id === last.id && now.uptime > last.uptime) {
    const seconds = (now.monotonicMs - last.monotonicMs) / 1_000;
    const hits = now.hits - last.hits;
    const reads = hits + now.misses - last.misses;
    const values = [(now.reads - last.reads) / seconds, (now.writes - last.writes) / seconds];
    const done = now.reads + now.writes - last.reads - last.writes;
    points.push({ atMs, values, hits, reads, done, seconds: now.seconds - last.seconds });
  }
  last = now;
  points = points.filter((point) => atMs - point.atMs <= spanMs);
  return atMs;
}

function render(overview) {
  const atMs = take(overview);
  const { status, store } = overview;
  document.title = `${status.id} · dcache`;
  say('node', status.id);
  say('cluster', status.cluster ? `cluster ${status.cluster.slice(0, 8)}` : '');
  showState(overview);
  showTiles(overview, atMs);
  opsChart.show(points, atMs);
  const ratios = points.map((point) => ({
    atMs: point.atMs,
    values: [point.reads > 0 ? point.hits / point.reads : null],
  }));
  ratioChart.show(ratios, atMs);
  showMembers(overview);
  showMemory(overview);
  showSlowest(overview.slowest);
  say('entries', short(store.entries));
  by('main').hidden = false;
  by('main').classList.remove('stale');
}

function showState({ status, members }) {
  const failed = members.filter(({ gossip }) => gossip !== 'alive').length;
  const full = members.filter(({ isDiskFull }) => isDiskFull).length;
  const voters = members.filter(isVoter);
  // As a leader counts: without a majority that can be heard and has room no write is taken.
  const roomy = voters.filter(({ gossip, isDiskFull }) => gossip === 'alive' && !isDiskFull);
  if (!status.leader) tell('bad', 'No leader');
  else if (full > 0 && roomy.length * 2 <= voters.length) tell('bad', 'No room for writes');
  else if (!status.isReady) tell('warn', 'Catching up');
  else if (full > 0) tell('warn', full === 1 ? '1 disk is full' : `${full} disks are full`);
  else if (failed > 0) tell('warn', `${failed} of ${members.length} not alive`);
  else tell('good', 'Healthy');
}

function tell(state, text) {
  by('state').dataset.state = state;
  say('state', text);
}

/** The hit ratio of the last minute, as far as this page saw it; without a read in it that since the node started. */
function showRatio({ hits, misses }, hitsSeen, readsSeen, atMs) {
  const [share, note] =
    readsSeen > 0
      ? [hitsSeen / readsSeen, atMs - openedMs >= minuteMs ? 'last minute' : 'since this page was opened']
      : hits + misses > 0
        ? [hits / (hits + misses), 'since the node started']
        : [undefined, 'no reads yet'];
  say('ratio', share === undefined ? '–' : percent(share));
  say('ratio-note', note);
}

function showTiles({ status, store, errors, hits, misses }, atMs) {
  const recent = points.filter((point) => atMs - point.atMs <= minuteMs);
  const sum = (name) => recent.reduce((total, point) => total + point[name], 0);
  const latest = points.at(-1);
  say('ops', latest ? short(latest.values[0] + latest.values[1]) : '–');
  showRatio({ hits, misses }, sum('hits'), sum('reads'), atMs);
  const [mean, unit] = sum('done') > 0 ? duration((sum('seconds') / sum('done')) * 1_000) : ['–', ''];
  say('latency', mean);
  say('latency-unit', unit);
  say('entries-note', store.evictions > 0 ? `${short(store.evictions)} evicted` : '');
  say('applied', count(status.appliedIndex));
  say('applied-note', `term ${count(status.term)}${errors > 0 ? ` · ${short(errors)} errors` : ''}`);
}

const isVoter = ({ voteStatus }) => voteStatus === 'Voter';

const gossipState = { alive: 'good', leaving: 'warn', left: 'warn', failed: 'bad' };

function showMembers({ members, status }) {
  say('leader', status.leader ? `${members.length} members, ${status.leader} leads` : 'no leader is known');
  by('members').replaceChildren(
    ...members.map((member) => {
      const { id, rpcAddr, isLeader, isSelf, gossip, lagEntries, isDiskFull } = member;
      const item = element('li');
      const dot = element('span', 'dot');
      dot.dataset.state = gossipState[gossip] ?? 'warn';
      dot.title = gossip ?? 'not heard of';
      dot.setAttribute('role', 'img');
      dot.setAttribute('aria-label', dot.title);
      const name = element('span', 'name');
      if (isSelf) name.append(id, element('span', 'self', '  this node'));
      else {
        const link = element('a', '', id);
        link.href = `${location.protocol}//${rpcAddr}/-/`;
        name.append(link);
      }
      const role = isLeader ? 'Leader' : isVoter(member) ? 'Follower' : 'Learner';
      item.append(dot, name, element('span', `role ${role.toLowerCase()}`, role));
      const address = element('span', 'addr', gossip && gossip !== 'alive' ? `${rpcAddr} · ${gossip}` : rpcAddr);
      if (isDiskFull) address.append(' · ', element('span', 'full', 'disk full'));
      item.append(address);
      // Of one that is gone the leader knows how far it was, not that it is up to date.
      if (lagEntries !== undefined && !isLeader && (gossip === 'alive' || lagEntries > 0))
        item.append(element('span', 'lag', lagEntries === 0 ? 'up to date' : `${count(lagEntries)} behind`));
      return item;
    }),
  );
}

function showMemory({ store, memory, uptimeSeconds, connections, version }) {
  say('process', `up ${span(uptimeSeconds)} · ${count(connections)} connections · ${version}`);
  const rows = [
    ['Entries', `${bytes(store.liveBytes)} of ${bytes(store.maxBytes)}`, store.liveBytes / store.maxBytes],
    ['Taken for entries', bytes(store.allocatedBytes), store.allocatedBytes / memory.rssBytes],
    ['JavaScript heap', bytes(memory.heapBytes), memory.heapBytes / memory.rssBytes],
    ['Process', bytes(memory.rssBytes), undefined],
    ['Evicted', `${count(store.evictions)} entries`, undefined],
    ['Expired', `${count(store.expirations)} entries`, undefined],
  ];
  by('memory').replaceChildren(
    ...rows.map(([name, text, share]) => {
      const row = element('div');
      row.append(element('dt', '', name), element('dd', '', text));
      if (share === undefined) return row;
      const track = element('span', 'track');
      const fill = element('span', 'fill');
      fill.style.width = `${Math.min(100, share * 100)}%`;
      track.append(fill);
      row.append(track);
      return row;
    }),
  );
}

function showSlowest(slowest) {
  const rows = slowest.slice(0, 7).map(({ protocol, verb, key, ms, atMs, error }) => {
    const row = element('tr');
    const request = element('td', error ? 'failed' : '', `${protocol} ${verb}${error ? ` · ${error}` : ''}`);
    const shown = element('td', '', key);
    shown.title = key;
    row.append(request, shown, element('td', '', duration(ms).join(' ')));
    row.append(element('td', '', span(Math.max(0, (Date.now() - atMs) / 1_000))));
    return row;
  });
  if (rows.length === 0) {
    const cell = element('td', 'empty', 'No requests yet.');
    cell.colSpan = 4;
    const row = element('tr');
    row.append(cell);
    rows.push(row);
  }
  by('slow').replaceChildren(...rows);
}

async function look() {
  const token = sessionStorage.getItem(tokenName);
  const headers = token ? { authorization: `Bearer ${token}` } : {};
  const response = await fetch('/-/overview', { headers, signal: AbortSignal.timeout(patienceMs), cache: 'no-store' });
  const needsToken = response.status === 401 || response.status === 403;
  isLocked = needsToken;
  by('login').hidden = !needsToken;
  if (needsToken) {
    tell('warn', token ? 'Token refused' : 'Locked');
    by('main').hidden = true;
    return;
  }
  if (!response.ok) throw new Error(`it answers ${response.status}`);
  render(await response.json());
  by('notice').hidden = true;
}

async function step() {
  try {
    if (!document.hidden && !isLocked) await look();
  } catch (error) {
    console.debug(error);
    tell('bad', 'No answer');
    by('main').classList.add('stale');
    by('notice').hidden = false;
    say('notice', 'This node does not answer. What you see is the last that it told; the page goes on trying.');
  }
  setTimeout(step, intervalMs);
}

by('login').addEventListener('submit', (event) => {
  event.preventDefault();
  sessionStorage.setItem(tokenName, by('token').value);
  by('token').value = '';
  // Also where this look fails: then the next ones are made with it.
  isLocked = false;
  void look().catch(() => {});
});

await step();
