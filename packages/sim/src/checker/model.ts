/**
 * What a sequential object would do: the specification that a history is held against. States are compared with `===`,
 * so they are texts, numbers or null.
 */
export interface Model<State, Action> {
  readonly name: string;
  readonly initial: State;
  /** The state after `action`, or undefined where the object could not have given that answer in `state`. */
  step(state: State, action: Action): State | undefined;
  /** Whether `action` leaves every state as it is. */
  isReadOnly(action: Action): boolean;
  /**
   * `state`, or one stand-in for all states that none of `observations` (read-only actions to come) can tell apart.
   * Only a help: a model without it is judged the same, with more work.
   */
  blur?(state: State, observations: Iterable<Action>): State;
  /** Text for people; equal texts stand for interchangeable actions. */
  describe(action: Action): string;
  /** Text for people. */
  describeState(state: State): string;
}

/** A value of a register: a number in Clojure's notation, or `nil` before the first write. */
export type RegisterValue = string;

/** Actions of a register, as the tests of Jepsen record them. */
export type RegisterAction =
  /** `value` is undefined while the answer is not known. */
  | { readonly f: 'read'; readonly value: RegisterValue | undefined }
  | { readonly f: 'write'; readonly value: RegisterValue }
  /**
   * Writes `to` where the register holds `from`. `swapped` is undefined while the answer is not known; false says that
   * the register held something else, which is an observation like a read.
   */
  | {
      readonly f: 'cas';
      readonly from: RegisterValue;
      readonly to: RegisterValue;
      readonly swapped: boolean | undefined;
    };

/** A register that holds `nil` at first. */
export const registerModel: Model<RegisterValue, RegisterAction> = {
  name: 'register',
  initial: 'nil',
  step(state, action) {
    switch (action.f) {
      case 'read':
        return action.value === undefined || action.value === state ? state : undefined;
      case 'write':
        return action.value;
      case 'cas': {
        const swaps = action.from === state;
        if (action.swapped !== undefined && action.swapped !== swaps) return undefined;
        return swaps ? action.to : state;
      }
    }
  },
  isReadOnly: (action) => action.f === 'read' || (action.f === 'cas' && action.swapped === false),
  describe(action) {
    switch (action.f) {
      case 'read':
        return action.value === undefined ? 'read' : `read ${action.value}`;
      case 'write':
        return `write ${action.value}`;
      case 'cas': {
        const outcome = action.swapped === undefined ? '' : action.swapped ? ' swapped' : ' refused';
        return `cas ${action.from} ${action.to}${outcome}`;
      }
    }
  },
  describeState: (state) => state,
};

/** Actions of one key of a key-value store. */
export type KeyValueAction =
  /** `value` is undefined while the answer is not known; a missing key reads as the empty text. */
  | { readonly f: 'get'; readonly value: string | undefined }
  | { readonly f: 'put'; readonly value: string }
  /** Adds `value` at the end of what the key holds. */
  | { readonly f: 'append'; readonly value: string };

/** What a key holds; null stands for any text that no read to come shows, and appending to it makes no other. */
export type KeyValueState = string | null;

/** One key of a key-value store, the empty text at first. The checker takes each key apart. */
export const keyValueModel: Model<KeyValueState, KeyValueAction> = {
  name: 'key-value',
  initial: '',
  step(state, action) {
    switch (action.f) {
      case 'get':
        return action.value === undefined || action.value === state ? state : undefined;
      case 'put':
        return action.value;
      case 'append':
        return state === null ? null : state + action.value;
    }
  },
  isReadOnly: (action) => action.f === 'get',
  /** A text only grows until the next put, so what shows it begins with it. */
  blur(state, observations) {
    if (state === null) return null;
    for (const { value } of observations) if (value?.startsWith(state)) return state;
    return null;
  },
  describe: (action) => (action.value === undefined ? action.f : `${action.f} ${JSON.stringify(action.value)}`),
  describeState: (state) => (state === null ? 'what no later read shows' : JSON.stringify(state)),
};
