/** Where a command writes: data on `out`, everything said to a person on `say`. */
export interface Terminal {
  /** A piece of the result, without an end of line added. */
  out(data: string | Uint8Array): void;
  /** A line on standard error. */
  say(line: string): void;
  /** One line on standard error that the next call replaces; nothing where no terminal is. */
  progress(line: string): void;
  /** Whether colours and progress lines may be used. */
  readonly isInteractive: boolean;
  readonly columns: number;
}

/** The process's own streams. `NO_COLOR` and a pipe turn everything that moves off. */
export function processTerminal(): Terminal {
  const isInteractive = process.stderr.isTTY === true && process.env.NO_COLOR === undefined;
  let hasProgress = false;
  const clear = (): void => {
    if (hasProgress) process.stderr.write('\r\u001b[K');
    hasProgress = false;
  };
  return {
    isInteractive,
    columns: process.stderr.columns ?? 80,
    out: (data) => {
      clear();
      process.stdout.write(data);
    },
    say: (line) => {
      clear();
      process.stderr.write(`${line}\n`);
    },
    progress: (line) => {
      if (!isInteractive) return;
      process.stderr.write(`\r\u001b[K${line.slice(0, (process.stderr.columns ?? 80) - 1)}`);
      hasProgress = true;
    },
  };
}
