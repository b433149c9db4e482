import { SetFeatures } from '../spec/nvme/admin-command.js';
import { AsyncEventResult } from '../spec/nvme/completion.js';
import { EventFeature, Feature } from '../spec/nvme/features.js';
import { IdentifyController } from '../spec/nvme/identify-controller.js';
import { AdminOpcode } from '../spec/nvme/opcodes.js';
import { type CommandResult, command } from './admin-queue.js';
import type { Core } from './core.js';
import type { AsyncEvent } from './events.js';
import type { Steps } from './procedure.js';

/**
 * Keeps asynchronous event requests armed: each completion is told to the listener and its request
 * goes back at once [NVMe-2.0 §5.2 AER].
 */
export class EventRequests {
  private readonly core: Core;
  private armed = 0;

  constructor(core: Core) {
    this.core = core;
  }

  /** Ask for every notice that the controller offers. Failure is no harm: the defaults stay. */
  *configure(): Steps<void> {
    const offered = IdentifyController;
    const words = this.core.controllerPage;
    let value = EventFeature.smart.put(0, EventFeature.smart.max);
    value = EventFeature.namespace.put(value, offered.oaesNamespace.get(words, 0));
    value = EventFeature.firmware.put(value, offered.oaesFirmware.get(words, 0));
    value = EventFeature.ana.put(value, offered.oaesAna.get(words, 0));
    const set = command(AdminOpcode.setFeatures);
    SetFeatures.fid.set(set, 0, Feature.asynchronousEvents);
    SetFeatures.value.set(set, 0, value);
    yield* this.core.adminQueue().execute(set, { allowsFailure: true });
  }

  /** After bring-up and after every reset: no request is outstanding then. */
  arm(): void {
    const { core } = this;
    const wanted = Math.min(core.settings.eventRequests, core.limitsNow().eventLimit);
    while (this.armed < wanted && this.post()) this.armed++;
  }

  private post(): boolean {
    const words = command(AdminOpcode.asynchronousEventRequest);
    return this.core.adminQueue().post(words, (result) => this.ended(result));
  }

  private ended(result: CommandResult | null): void {
    this.armed--;
    // Ended by a reset, or refused: asking again at once would go in a circle.
    if (result === null || result.status !== 0) return;
    if (this.core.state === 'ready') this.arm();
    this.core.emit(eventOf(result.dw0));
  }
}

function eventOf(dw0: number): AsyncEvent {
  const type = AsyncEventResult.type.of(dw0);
  const information = AsyncEventResult.info.of(dw0);
  const logPage = AsyncEventResult.logPage.of(dw0);
  const names = Object.entries(AsyncEventResult.type.names ?? {});
  const name = names.find(([, value]) => value === type)?.[0] ?? `type ${type}`;
  return {
    kind: 'async event',
    type,
    information,
    logPage,
    text: `${name} event ${information}, see log page 0x${logPage.toString(16).padStart(2, '0')}`,
  };
}
