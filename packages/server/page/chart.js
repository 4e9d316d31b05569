const svgNamespace = 'http://www.w3.org/2000/svg';

/** Room for the labels, in pixels. */
const margin = { left: 44, right: 4, top: 10, bottom: 22 };

function make(name, attributes, parent) {
  const element = document.createElementNS(svgNamespace, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  parent.append(element);
  return element;
}

/** The next of 1, 2, 5, 10, 20… at or above `value`, so that the axis moves rarely and reads easily. */
function roundUp(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].find((step) => step * power >= value) * power;
}

/** Lines over the last minutes, the newest at the right. A point whose value is null is a gap. */
export class Chart {
  #host;
  #options;
  #points = [];
  #nowMs = 0;
  #pointerX;

  /** `series`: [{ name, className }]; `format` makes text of a value; `max` fixes the axis; of `spansMs` the first that holds all is shown. */
  constructor(host, options) {
    this.#host = host;
    this.#options = options;
    new ResizeObserver(() => this.#draw()).observe(host);
    host.addEventListener('pointermove', (event) => {
      this.#pointerX = event.clientX - host.getBoundingClientRect().left;
      this.#draw();
    });
    host.addEventListener('pointerleave', () => {
      this.#pointerX = undefined;
      this.#draw();
    });
  }

  /** `points`: [{ atMs, values }], oldest first. */
  show(points, nowMs) {
    this.#points = points;
    this.#nowMs = nowMs;
    this.#draw();
  }

  #draw() {
    const { clientWidth: width, clientHeight: height } = this.#host;
    if (width === 0) return;
    const { series, format, max, spansMs } = this.#options;
    const ageMs = this.#points.length === 0 ? 0 : this.#nowMs - this.#points[0].atMs;
    const spanMs = spansMs.find((span) => span >= ageMs) ?? spansMs.at(-1);
    const values = this.#points.flatMap((point) => point.values).filter((value) => value !== null);
    const top = max ?? roundUp(Math.max(10, ...values));
    const right = width - margin.right;
    const bottom = height - margin.bottom;
    const x = (atMs) => right - ((this.#nowMs - atMs) / spanMs) * (right - margin.left);
    const y = (value) => bottom - (Math.min(value, top) / top) * (bottom - margin.top);

    const svg = document.createElementNS(svgNamespace, 'svg');
    svg.setAttribute('viewBox', `0 0 ${width} ${height}`);
    for (const share of [0, 0.5, 1]) {
      const at = Math.round(y(top * share)) + 0.5;
      make('line', { class: 'grid', x1: margin.left, x2: right, y1: at, y2: at }, svg);
      make('text', { x: margin.left - 8, y: at + 4, 'text-anchor': 'end' }, svg).textContent = format(top * share);
    }
    const minutes = spanMs / 60_000;
    make('text', { x: margin.left, y: height - 4 }, svg).textContent = `${minutes} min ago`;
    make('text', { x: right, y: height - 4, 'text-anchor': 'end' }, svg).textContent = 'now';
    series.forEach(({ className }, i) => {
      for (const run of runs(this.#points, i)) {
        const line = run.map(({ atMs, values }) => `${x(atMs).toFixed(1)} ${y(values[i]).toFixed(1)}`).join('L');
        const area = `M${x(run[0].atMs).toFixed(1)} ${bottom}L${line}L${x(run.at(-1).atMs).toFixed(1)} ${bottom}Z`;
        make('path', { class: `area ${className}`, d: area }, svg);
        make('path', { class: `line ${className}`, d: `M${line}` }, svg);
      }
    });
    const parts = [svg];
    const near = this.#nearest(x);
    if (near) {
      const at = x(near.atMs);
      make('line', { class: 'cross', x1: at, x2: at, y1: margin.top, y2: bottom }, svg);
      parts.push(this.#tip(near, at, width));
    }
    this.#host.replaceChildren(...parts);
  }

  #nearest(x) {
    if (this.#pointerX === undefined) return undefined;
    const distance = ({ atMs }) => Math.abs(x(atMs) - this.#pointerX);
    return this.#points.reduce((best, point) => (!best || distance(point) < distance(best) ? point : best), undefined);
  }

  #tip(point, at, width) {
    const { series, format } = this.#options;
    const tip = document.createElement('div');
    tip.className = 'tip';
    const told = series.map(({ name }, i) => `${name} ${point.values[i] === null ? '–' : format(point.values[i])}`);
    tip.textContent = [...told, `${Math.round((this.#nowMs - point.atMs) / 1_000)} s ago`].join(' · ');
    if (at > width / 2) tip.style.right = `${width - at + 8}px`;
    else tip.style.left = `${at + 8}px`;
    return tip;
  }
}

/** Neighbouring points that have a value. */
function runs(points, i) {
  const found = [];
  let run;
  for (const point of points) {
    if (point.values[i] === null) {
      run = undefined;
    } else if (run) {
      run.push(point);
    } else {
      run = [point];
      found.push(run);
    }
  }
  return found;
}
