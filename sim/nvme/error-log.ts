import { noCommand, noParameter } from '../../sdk/spec/nvme/logs.js';

/** What an error entry says; what is left out does not apply. */
export interface ErrorReport {
  readonly queueId?: number;
  readonly cid?: number;
  /** Status number, 0 when the error ended no command. */
  readonly status: number;
  /** Byte and bit of the command that is in error. */
  readonly byte?: number;
  readonly bit?: number;
  readonly lba?: number;
  readonly nsid?: number;
  readonly commandSpecific?: number;
}

export interface ErrorRecord extends Required<ErrorReport> {
  /** From 1 over the life of the controller, never the same twice. */
  readonly count: number;
}

/** The newest errors of one controller, newest first; the count survives everything. */
export class ErrorLog {
  /** Errors so far: number of the newest entry. */
  count = 0;
  private readonly limit: number;
  private readonly entries: ErrorRecord[] = [];

  constructor(limit: number) {
    this.limit = limit;
  }

  get records(): readonly ErrorRecord[] {
    return this.entries;
  }

  add(report: ErrorReport): void {
    this.count++;
    this.entries.unshift({ ...nothing, ...report, count: this.count });
    if (this.entries.length > this.limit) this.entries.pop();
  }

  /** Power went: entries are lost, the count is not [NVMe-2.0 §5.16.1.2 Error Count]. */
  forget(): void {
    this.entries.length = 0;
  }
}

const nothing = {
  queueId: noCommand,
  cid: noCommand,
  byte: noParameter.byte,
  bit: noParameter.bit,
  lba: 0,
  nsid: 0,
  commandSpecific: 0,
} as const;
