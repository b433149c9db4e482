import type { AdminContext } from './context.js';

/** What a telemetry capture says: counters at the moment of the capture. */
export function telemetryFacts(context: AdminContext): Record<string, number | string> {
  const { health, sanitizer, firmware } = context.subsystem;
  return {
    'time-ns': context.world.nowNs,
    controller: context.controllerId,
    firmware: firmware.runningRevision,
    'temperature-kelvin': health.temperatureKelvin,
    'read-commands': health.readCommands,
    'write-commands': health.writeCommands,
    'read-bytes': health.readBytes,
    'written-bytes': health.writtenBytes,
    'media-errors': health.mediaErrors,
    'power-cycles': health.powerCycles,
    'unsafe-shutdowns': health.unsafeShutdowns,
    errors: context.record.errors.count,
    'sanitize-status': sanitizer.status,
    'unallocated-bytes': context.subsystem.unallocatedBytes,
    ...context.subsystem.insideFacts(),
  };
}
