import { telemetryBlockBytes } from '../../../sdk/spec/nvme/logs.js';

/** Blocks of the three areas, in sum: each area contains the one before it. */
export const telemetryAreas = { area1: 2, area2: 4, area3: 8 } as const; // guess

/** Reason identifier of the controller's own data: which of its troubles was the last. */
export const TelemetryReason = {
  none: 0,
  keepAliveExpired: 1,
  sanitizeFailed: 2,
  firmwareAssert: 3,
} as const;

/**
 * What a controller remembers for its maker [NVMe-2.0 §8.24 Telemetry]: one capture that the host
 * asked for and one that the controller made when something went wrong.
 */
export class TelemetryData {
  /** Data areas 1 to 3, or null before the first capture. */
  host: Uint8Array | null = null;
  controller: Uint8Array | null = null;
  /** 0..255, rising with each capture. */
  hostGeneration = 0;
  controllerGeneration = 0;
  isControllerAvailable = false;
  reason: number = TelemetryReason.none;

  captureForHost(facts: Readonly<Record<string, number | string>>): void {
    this.host = capture(facts);
    this.hostGeneration = (this.hostGeneration + 1) % 256;
  }

  captureTrouble(reason: number, facts: Readonly<Record<string, number | string>>): void {
    this.reason = reason;
    this.controller = capture(facts);
    this.controllerGeneration = (this.controllerGeneration + 1) % 256;
    this.isControllerAvailable = true;
  }
}

/** One line per fact, as text: whoever opens a capture can read it. */
function capture(facts: Readonly<Record<string, number | string>>): Uint8Array {
  const bytes = new Uint8Array(telemetryAreas.area3 * telemetryBlockBytes);
  const lines = Object.entries(facts).map(([name, value]) => `${name} ${value}\n`);
  const text = Buffer.from(lines.join(''), 'latin1');
  bytes.set(text.subarray(0, bytes.length));
  return bytes;
}
