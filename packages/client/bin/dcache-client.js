#!/usr/bin/env node
import { main } from '../dist/main.js';

process.exitCode = await main(process.argv.slice(2));
// Ended by a signal: a shell sees by this, and not by an exit code, that its loop is to end too.
if (process.exitCode > 128) process.kill(process.pid, process.exitCode - 128);
