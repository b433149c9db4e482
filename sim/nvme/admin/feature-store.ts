/** Default, saved and current values of one thing: the value word and, for some, data. */
interface Values {
  word: number;
  data: Uint8Array | null;
}

interface Entry {
  current: Values;
  saved: Values | null;
}

/**
 * Values of features by key: `key` is the feature, its selector (a sensor, a vector) and its
 * namespace in one string. A value that was never set is the default, which the table knows.
 */
export class FeatureStore {
  private readonly entries = new Map<string, Entry>();

  /** The word in force, or undefined for the default. */
  current(key: string): number | undefined {
    return this.entries.get(key)?.current.word;
  }

  saved(key: string): number | undefined {
    return this.entries.get(key)?.saved?.word;
  }

  currentData(key: string): Uint8Array | null {
    return this.entries.get(key)?.current.data ?? null;
  }

  savedData(key: string): Uint8Array | null {
    return this.entries.get(key)?.saved?.data ?? null;
  }

  set(key: string, word: number, data: Uint8Array | null, isSaved: boolean): void {
    const values: Values = { word: word >>> 0, data };
    const saved = isSaved ? values : (this.entries.get(key)?.saved ?? null);
    this.entries.set(key, { current: values, saved });
  }

  /** A reset: what was saved is in force again, everything else is the default. */
  reset(): void {
    for (const [key, entry] of this.entries) {
      if (entry.saved === null) this.entries.delete(key);
      else entry.current = entry.saved;
    }
  }

  /** A namespace was deleted: what was saved for it is gone, too. */
  forgetNamespace(nsid: number): void {
    for (const key of this.entries.keys()) {
      if (key.endsWith(namespaceSuffix(nsid))) this.entries.delete(key);
    }
  }
}

/** @param selector  which of several values of the feature; 0 for the only one */
export function featureKey(feature: {
  readonly fid: number;
  readonly selector: number;
  readonly nsid: number;
}): string {
  return `${feature.fid}.${feature.selector}${namespaceSuffix(feature.nsid)}`;
}

function namespaceSuffix(nsid: number): string {
  return `@${nsid}`;
}
