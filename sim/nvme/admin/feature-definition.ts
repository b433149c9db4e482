import type { AdminContext } from './context.js';

/** One value of a feature: which one, for what, and what it is. */
export interface FeatureValue {
  readonly selector: number;
  /** 0 for a feature of the controller. */
  readonly nsid: number;
  readonly word: number;
  readonly data: Uint8Array | null;
  /** CDW12 of Set Features; 0 when a value is restored. */
  readonly cdw12: number;
}

/** What a feature is, and what setting it does. */
export interface FeatureDefinition {
  readonly isSaveable: boolean;
  readonly isPerNamespace: boolean;
  readonly isChangeable: boolean;
  /** Bytes that Set Features brings, by the value word. */
  readonly setBytes?: (word: number) => number;
  /** Bytes that Get Features returns, by command dword 11. */
  readonly getBytes?: (word: number) => number;
  /** Which of several values of the feature dword 11 speaks of; -1 for none that exists. */
  readonly selectorOf?: (context: AdminContext, word: number) => number;
  /** The selectors that a Set with this dword 11 concerns, when it can be more than one. */
  readonly selectorsOf?: (word: number) => readonly number[];
  readonly defaultWord: (context: AdminContext, selector: number, nsid: number) => number;
  readonly defaultData?: (context: AdminContext, nsid: number) => Uint8Array;
  /** @returns 0 or the status of a value that cannot be */
  readonly check?: (context: AdminContext, value: FeatureValue) => number;
  /** Make it so. Also called when a reset puts a saved or default value in force. */
  readonly apply?: (context: AdminContext, value: FeatureValue) => void;
  /** The value in force, when it is not simply what was set. */
  readonly readWord?: (context: AdminContext, selector: number, nsid: number) => number;
  readonly readData?: (context: AdminContext, nsid: number) => Uint8Array;
  /** Completion dword 0 of Set Features. */
  readonly result?: (context: AdminContext) => number;
  /** Whether this card has the feature at all. */
  readonly isThere?: (context: AdminContext) => boolean;
}

export const plain = { isSaveable: true, isPerNamespace: false, isChangeable: true } as const;
export const volatileValue = {
  isSaveable: false,
  isPerNamespace: false,
  isChangeable: true,
} as const;
export const perNamespace = {
  isSaveable: true,
  isPerNamespace: true,
  isChangeable: true,
} as const;
export const perNamespaceVolatile = {
  isSaveable: false,
  isPerNamespace: true,
  isChangeable: true,
} as const;

export function zero(): number {
  return 0;
}
