/** Something that happened in a core. */
export interface TraceEvent {
  readonly kind: string;
}

/** Is called while the event happens: what it is handed is valid only during the call. */
export type Trace = (event: TraceEvent) => void;
