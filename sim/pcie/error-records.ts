import {
  AdvancedErrors,
  UncorrectableErrors,
} from '../../sdk/spec/pcie/advanced-error-reporting.js';
import { Express } from '../../sdk/spec/pcie/express.js';
import { Header } from '../../sdk/spec/pcie/header.js';
import { advancedErrors, express, header } from './capabilities.js';
import type { ConfigRegisters } from './config-space.js';

/** A request that the function does not take: Unsupported Request. */
export function recordUnsupported(registers: ConfigRegisters): void {
  registers.set(express, Express.unsupportedDetected, 1);
  record(registers, UncorrectableErrors.unsupportedRequest);
}

/**
 * A read of the device came back poisoned, or aborted: the requester of an aborted read knows it
 * from its status alone [PCIe-4.0 §7.5.1.1.4 Status].
 */
export function recordFailedFetch(registers: ConfigRegisters, isPoisoned: boolean): void {
  registers.set(express, Express.nonFatalDetected, 1);
  if (!isPoisoned) registers.set(header, Header.receivedTargetAbort, 1);
  else record(registers, UncorrectableErrors.poisonedTlp);
}

function record(
  registers: ConfigRegisters,
  error: { put(word: number, value: number): number },
): void {
  const { uncorrectableStatus } = AdvancedErrors;
  const status = registers.get(advancedErrors, uncorrectableStatus);
  registers.set(advancedErrors, uncorrectableStatus, error.put(status, 1));
}
