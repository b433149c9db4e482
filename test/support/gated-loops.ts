import { BlockOp, BlockRequest, BlockStatus } from '../../sdk/block/request.js';
import { type QosDevice, QosGate } from '../../sdk/qos/gate.js';
import type { Share } from '../../sdk/qos/scheduler.js';
import { PacedDevice } from './qos-targets.js';

export interface LoopsOptions {
  /** Units of each request, by client. */
  readonly costs: readonly number[];
  /** Requests that each client has going at all times. */
  readonly depth: number;
  readonly depthUnits: number;
}

const plain: Share = { reservation: 0, limit: Number.POSITIVE_INFINITY, weight: 1 };

/** Clients of a gate that always want more, over a device whose pace a test sets. */
export class GatedLoops {
  readonly gate: QosGate;
  readonly clients: readonly QosDevice[];
  /** Units that ended, by client. */
  readonly served: Float64Array;
  /** What `onShortfall` said, in order. */
  readonly told: number[] = [];
  failedCount = 0;
  isStopped = false;
  private readonly device = new PacedDevice();

  constructor({ costs, depth, depthUnits }: LoopsOptions) {
    const onShortfall = (part: number): void => void this.told.push(part);
    this.gate = new QosGate(this.device, { depthUnits, onShortfall });
    this.served = new Float64Array(costs.length);
    this.clients = costs.map(() => this.gate.open(plain));
    const { memory, blockBytes } = this.device;
    const region = memory.allocate(Math.max(...costs) * blockBytes);
    for (const [client, cost] of costs.entries()) {
      for (let i = 0; i < depth; i++) {
        const request = new BlockRequest((one) => this.ended(client, one));
        request.op = BlockOp.read;
        request.tag = client * depth + i;
        request.blockCount = cost;
        request.setData(region, 0, cost * blockBytes);
        this.clients[client]!.submit(request);
      }
    }
  }

  /** A unit takes so many times as long from now on. */
  pace(factor: number): void {
    this.device.workers.factor = factor;
  }

  runFor(ns: number): void {
    const { device, gate, clients } = this;
    const untilNs = device.nowNs + ns;
    while (device.nowNs < untilNs) {
      clients[0]!.poll();
      const nextNs = Math.min(device.workers.nextNs(), gate.wakeNs, untilNs);
      device.nowNs = Math.max(device.nowNs + 1, Math.ceil(nextNs));
    }
    clients[0]!.poll();
  }

  private ended(client: number, request: BlockRequest): void {
    if (request.status !== BlockStatus.ok) this.failedCount++;
    this.served[client]! += request.blockCount;
    if (!this.isStopped) this.clients[client]!.submit(request);
  }
}
