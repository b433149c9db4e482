import { ReservationLog as Page, ReservationEvent } from '../spec/nvme/logs-events.js';

interface ReservationNotice {
  readonly count: number;
  readonly nsid: number;
  readonly type: number;
}

/** Pages that wait at most; more are counted and lost. */
const pagesKept = 255;

/** Reservation notifications of one controller, log page 80h: read one by one, oldest first. */
export class ReservationLog {
  private readonly pages: ReservationNotice[] = [];
  private count = 0;

  /** @returns whether the log was empty before: only then is there an event */
  add(nsid: number, type: number): boolean {
    this.count++;
    if (this.pages.length < pagesKept) this.pages.push({ count: this.count, nsid, type });
    return this.pages.length === 1;
  }

  get first(): ReservationNotice | undefined {
    return this.pages[0];
  }

  /** Pages after the first. */
  get furtherCount(): number {
    return Math.max(0, this.pages.length - 1);
  }

  takeFirst(): void {
    this.pages.shift();
  }

  clear(): void {
    this.pages.length = 0;
  }
}

/** Log page 80h as it reads now. */
export function reservationPage(log: ReservationLog): Uint8Array {
  const words = new Uint32Array(Page.layout.bytes / 4);
  const { first } = log;
  Page.type.set(words, 0, first?.type ?? ReservationEvent.empty);
  if (first !== undefined) {
    Page.count.set(words, 0, first.count);
    Page.available.set(words, 0, log.furtherCount);
    Page.nsid.set(words, 0, first.nsid);
  }
  return new Uint8Array(words.buffer);
}
