/** Flexible resources of one kind: queue pairs (VQ) or interrupt vectors (VI). */
export interface ResourcePool {
  /** Private to the primary controller. */
  readonly private: number;
  /** Flexible, of primary and secondary controllers together. */
  readonly flexible: number;
  /** Most that one secondary controller can have. */
  readonly secondaryMaximum: number;
  /** Assigned to the primary by command; counts from its next reset on. */
  primaryRequested: number;
  /** Assigned to the primary now. */
  primaryAssigned: number;
}

/** A virtual function's controller, as its primary sees it. */
export interface SecondaryController {
  readonly id: number;
  readonly virtualFunction: number;
  isOnline: boolean;
  queues: number;
  vectors: number;
}

/** Fewest resources with which a secondary controller works: admin and one I/O queue. */
export const leastQueues = 2;
export const leastVectors = 1;

const flexiblePerSecondary = 4; // guess
const secondaryMaximum = 8; // guess

/**
 * Primary and secondary controllers of an SR-IOV card and the flexible resources that they share
 * [NVMe-2.0 §8.26 Virtualization Enhancements]. The sum of what is assigned never exceeds the pool.
 */
export class SecondaryControllers {
  readonly primaryId: number;
  readonly list: SecondaryController[] = [];
  readonly queues: ResourcePool;
  readonly vectors: ResourcePool;
  private listener: ((controller: SecondaryController) => void) | null = null;

  constructor(options: {
    readonly primaryId: number;
    readonly count: number;
    readonly primaryQueues: number;
    readonly primaryVectors: number;
  }) {
    this.primaryId = options.primaryId;
    for (let i = 1; i <= options.count; i++) {
      const id = options.primaryId + i;
      this.list.push({ id, virtualFunction: i, isOnline: false, queues: 0, vectors: 0 });
    }
    this.queues = poolOf(options.count, options.primaryQueues);
    this.vectors = poolOf(options.count, options.primaryVectors);
  }

  find(id: number): SecondaryController | undefined {
    return this.list.find((controller) => controller.id === id);
  }

  /** Whoever keeps the functions: called when a controller goes online or offline. */
  onChange(listener: (controller: SecondaryController) => void): void {
    this.listener = listener;
  }

  setOnline(controller: SecondaryController, isOnline: boolean): void {
    controller.isOnline = isOnline;
    if (!isOnline) {
      controller.queues = 0;
      controller.vectors = 0;
    }
    this.listener?.(controller);
  }

  assignedQueues(): number {
    return this.list.reduce((sum, controller) => sum + controller.queues, 0);
  }

  assignedVectors(): number {
    return this.list.reduce((sum, controller) => sum + controller.vectors, 0);
  }

  /** Virtual functions above `count` are gone, and their controllers with them. */
  limitTo(count: number): void {
    for (const controller of this.list) {
      if (controller.isOnline && controller.virtualFunction > count) {
        this.setOnline(controller, false);
      }
    }
  }

  /**
   * The primary controller was reset, in whatever way: secondary controllers go offline, and what
   * was asked for itself counts now.
   */
  primaryReset(): void {
    this.limitTo(0);
    this.queues.primaryAssigned = this.queues.primaryRequested;
    this.vectors.primaryAssigned = this.vectors.primaryRequested;
  }
}

function poolOf(secondaries: number, privateCount: number): ResourcePool {
  return {
    private: privateCount,
    flexible: secondaries * flexiblePerSecondary,
    secondaryMaximum: secondaries === 0 ? 0 : secondaryMaximum,
    primaryRequested: 0,
    primaryAssigned: 0,
  };
}
