import { systemClock } from '@dcache/base';
import { type Logger as PinoLogger, pino } from 'pino';
import { sayLast } from './observe/last-words.js';
import { LogOutput } from './observe/log-output.js';
import { standardError } from './observe/log-target.js';
import { Server } from './server.js';
import { formatConfiguration, loadConfiguration } from './settings/config.js';
import { dataDirFault, toOptions } from './settings/effective.js';
import { version } from './version.js';

/** How long a stop may take before the process ends all the same, in milliseconds. */
const stopTimeoutMs = 15_000;

/**
 * Runs `dcache` with these arguments. Resolves with the exit code where there is nothing to run, or undefined once the
 * node serves; it then ends by SIGINT or SIGTERM. What is wrong is said once, on stderr, in one line: as text where the
 * node does not start, and as the last line of the log where it ran and had to end.
 */
export async function main(args: readonly string[]): Promise<number | undefined> {
  let server: Server;
  let logger: PinoLogger;
  try {
    const { action, effective } = await loadConfiguration(args, process.env, version);
    if (action === 'config') process.stdout.write(formatConfiguration(effective));
    const { logLevel, ...options } = toOptions(effective);
    if (action === 'config') {
      // It binds and dials nothing, and refuses here what it would refuse at start.
      new Server(options);
      return 0;
    }
    const output = new LogOutput({ target: standardError(), clock: systemClock });
    process.on('exit', () => output.flushSync());
    logger = pino({ level: logLevel, base: null, timestamp: pino.stdTimeFunctions.isoTime }, output);
    const fault = dataDirFault(effective);
    if (fault !== undefined) logger.warn({ id: options.id }, fault);
    server = new Server(options, {
      logger,
      logsRequests: logger.isLevelEnabled('debug'),
      droppedLogLines: () => output.dropped,
      onFatal: (error) => end(logger, error),
      onLeft: () => process.exit(0),
    });
    endByFault(logger);
    endBySignal(server, logger);
    process.on('SIGHUP', () => server.reload());
    await server.start();
  } catch (error) {
    // Commander has printed its own message, and calls help an error with exit code 0.
    if (typeof (error as { exitCode?: unknown }).exitCode === 'number') return (error as { exitCode: number }).exitCode;
    // A signal came while it started: that is no fault, and the handler ends the process.
    if ((error as { code?: unknown }).code === 'stopping') return undefined;
    process.stderr.write(`dcache: ${(error as Error).message}\n`);
    return 1;
  }
  return undefined;
}

/** From the first moment on, also while the node is still starting. */
function endBySignal(server: Server, logger: PinoLogger): void {
  let isStopping = false;
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.on(signal, () => {
      if (isStopping) return;
      isStopping = true;
      setTimeout(() => end(logger, new Error(`not stopped after ${stopTimeoutMs} ms`)), stopTimeoutMs).unref();
      server.stop().then(
        () => process.exit(0),
        (error) => end(logger, error),
      );
    });
}

/** A fault that nobody expected ends the node like one that was: who collects the log must find why. */
function endByFault(logger: PinoLogger): void {
  process.on('uncaughtException', (error) => end(logger, error));
  process.on('unhandledRejection', (reason) => end(logger, reason));
}

function end(logger: PinoLogger, error: unknown): never {
  // The log is flushed here and in the end without a turn of the event loop: a write that is acknowledged now would be lost.
  sayLast(error, logger, process.stderr);
  process.exit(1);
}
