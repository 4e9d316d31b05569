import {
  type ChangedConfiguration,
  ConfChangeError,
  changeSimply,
  enterJoint,
  leaveJoint,
} from '../core/configuration.js';
import { Tracker } from '../core/tracker.js';
import { flag, optionValue, parseChanges } from './arguments.js';
import { ScriptError } from './cluster.js';
import { viewOf } from './log-line.js';
import { configurationText } from './render.js';
import type { Directive } from './script.js';

export const changeCommands: ReadonlySet<string> = new Set(['simple', 'enter-joint', 'leave-joint']);

/** Runs the commands of a script about changes of a configuration, without any node. */
export class ChangeScript {
  readonly #tracker: Tracker = new Tracker(10, Number.POSITIVE_INFINITY);
  /** The log grows by an entry with each command, made or refused. */
  #lastIndex = 0;

  run(directive: Directive): string {
    try {
      this.#tracker.switchTo(this.#changed(directive), this.#lastIndex);
      const members = this.#tracker.members.map((member) => `${member.id}: ${viewOf(member)}\n`);
      return `${configurationText(this.#tracker.configuration)}\n${members.join('')}`;
    } catch (error) {
      if (error instanceof ConfChangeError || error instanceof ScriptError) return error.message;
      throw error;
    } finally {
      this.#lastIndex++;
    }
  }

  #changed(directive: Directive): ChangedConfiguration {
    const { configuration } = this.#tracker;
    const changes = parseChanges(directive.input);
    if (directive.command === 'simple') return changeSimply(configuration, changes);
    if (directive.command === 'enter-joint')
      return enterJoint(configuration, changes, flag(optionValue(directive, 'autoleave') ?? 'false'));
    if (directive.command !== 'leave-joint') throw new ScriptError('unknown command');
    if (changes.length > 0) throw new ScriptError('this command takes no input');
    return leaveJoint(configuration);
  }
}
