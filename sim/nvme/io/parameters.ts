import type { Command } from '../command.js';

/** The longest list that a command carries: 256 source ranges of 40 bytes. */
const parameterBytes = 10_240;

/** A list or structure that a command carries as data, kept with the command's slot for ever. */
export class Parameters {
  readonly words: Uint32Array;
  readonly bytes: Uint8Array;

  constructor() {
    this.words = new Uint32Array(parameterBytes / 4);
    this.bytes = new Uint8Array(this.words.buffer);
  }
}

export function parametersOf(command: Command): Parameters {
  if (command.attachment instanceof Parameters) return command.attachment;
  const parameters = new Parameters();
  command.attachment = parameters;
  return parameters;
}
