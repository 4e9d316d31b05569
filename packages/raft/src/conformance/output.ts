import { type Level, type LogLine, levels } from './log-line.js';

/** What a script's command prints: its own text, and the log lines of the cores in between. */
export class Output {
  level: Level = 'DEBUG';
  #text = '';

  /** At the highest level nothing is printed but errors. */
  get isQuiet(): boolean {
    return this.level === 'NONE';
  }

  write(text: string): void {
    if (!this.isQuiet) this.#text += text;
  }

  log(line: LogLine): void {
    if (levels.indexOf(line.level) >= levels.indexOf(this.level)) this.write(`${line.level} ${line.text}\n`);
  }

  /** Puts two blanks before each line that `run` writes. */
  indented(run: () => void): void {
    const before = this.#text;
    this.#text = '';
    try {
      run();
    } finally {
      const lines = this.#text.split('\n');
      if (lines.at(-1) === '') lines.pop();
      this.#text = before + lines.map((line) => `  ${line}\n`).join('');
    }
  }

  /** All that was written, and begins anew. */
  take(): string {
    const text = this.#text;
    this.#text = '';
    return text;
  }
}
