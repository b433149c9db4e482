import type { HostController } from '../../../sdk/reservations/report.js';
import type { Command } from '../command.js';
import type { Namespace } from '../namespace.js';

/** Counters that the SMART page is made of. */
export interface IoHealth {
  countRead(bytes: number): void;
  countWrite(bytes: number): void;
  countMediaError(): void;
  /** An I/O command begins, ends. */
  enter(): void;
  leave(): void;
}

/** What the I/O set needs of its controller and of the subsystem around it. */
export interface IoController {
  readonly controllerId: number;
  /** Highest NSID that can exist (NN). */
  readonly namespaceLimit: number;
  /** 2^(12 + MDTS), Infinity for no limit. */
  readonly maxTransferBytes: number;
  /**
   * The host that uses this controller, for reservations: hosts with equal names are one host. A
   * host without identifier has a name of its own per controller [NVMe-2.0 §8.19].
   */
  readonly host: string;
  /** The host gave no identifier: it is another host after each controller level reset. */
  readonly isHostAnonymous: boolean;
  /** The host gave a 128-bit identifier. */
  readonly hasExtendedHostIdentifier: boolean;
  readonly health: IoHealth;
  /** Something refuses I/O now (sanitize, an ANA state): `refusal` tells what. */
  readonly isRestricted: boolean;

  /** The namespace if it is attached to this controller, else null. */
  namespace(nsid: number): Namespace | null;
  /** Every namespace that is attached to this controller. */
  attachedNamespaces(): Iterable<Namespace>;
  /** @returns the status that ends every I/O command to the namespace now, 0 for none */
  refusal(namespace: Namespace): number;
  /**
   * A write carries a directive. @returns Invalid Field unless it is a stream and they are enabled
   * for the namespace [NVMe-2.0 §8.7 Directives]
   */
  useDirective(type: number, specific: number, namespace: Namespace): number;
  /** A command ended with an error: for the error log page. */
  recordError(command: Command, status: number, lba: number): void;
  /** Controllers of a host that the namespace is attached to. */
  controllersOf(host: string, namespace: Namespace): readonly HostController[];
  /**
   * Preempt and abort: end the commands of these hosts to the namespace, on whatever controller,
   * as Command Aborted due to Preempt and Abort [NVMe-2.0 §8.19.7].
   */
  abortCommandsOf(hosts: readonly string[], namespace: Namespace): void;
}
