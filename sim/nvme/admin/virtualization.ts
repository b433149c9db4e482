import {
  VirtualizationAction,
  VirtualizationManagement,
} from '../../../sdk/spec/nvme/admin-command.js';
import { Status } from '../../../sdk/spec/nvme/status.js';
import type { Command } from '../command.js';
import {
  leastQueues,
  leastVectors,
  type ResourcePool,
  type SecondaryController,
} from '../secondary-controllers.js';
import type { AdminContext } from './context.js';

const V = VirtualizationManagement;

const ResourceType = { queues: 0, vectors: 1 } as const;

/** [NVMe-2.0 §5.28 Virtualization Management] */
export function manageVirtualization(context: AdminContext, command: Command): number {
  switch (V.act.get(command.words, 0)) {
    case VirtualizationAction['primary flexible allocation']:
      return allocatePrimary(context, command);
    case VirtualizationAction['secondary assign']:
      return assign(context, command);
    case VirtualizationAction['secondary online']:
      return online(context, command);
    case VirtualizationAction['secondary offline']:
      return offline(context, command);
    default:
      return context.refuse(Status.invalidField, V.act);
  }
}

/** Counts from the next reset of the primary controller on. */
function allocatePrimary(context: AdminContext, command: Command): number {
  const pool = poolOf(context, command);
  if (pool === null) return context.refuse(Status.invalidResourceIdentifier, V.rt);
  const asked = V.nr.get(command.words, 0);
  if (asked > pool.flexible - assignedOf(context, command)) {
    return context.refuse(Status.invalidControllerResourceCount, V.nr);
  }
  pool.primaryRequested = asked;
  command.dw0 = asked;
  return 0;
}

/** Only an offline controller's resources can change. */
function assign(context: AdminContext, command: Command): number {
  const controller = target(context, command);
  if (controller === undefined) {
    return context.refuse(Status.invalidControllerIdentifier, V.cntlid);
  }
  const pool = poolOf(context, command);
  if (pool === null) return context.refuse(Status.invalidResourceIdentifier, V.rt);
  if (controller.isOnline) {
    return context.refuse(Status.invalidSecondaryControllerState, V.cntlid);
  }
  const isQueues = V.rt.get(command.words, 0) === ResourceType.queues;
  const own = isQueues ? controller.queues : controller.vectors;
  const taken = assignedOf(context, command) - own;
  const primary = Math.max(pool.primaryAssigned, pool.primaryRequested);
  const asked = V.nr.get(command.words, 0);
  if (asked > pool.secondaryMaximum || asked > pool.flexible - primary - taken) {
    return context.refuse(Status.invalidControllerResourceCount, V.nr);
  }
  if (isQueues) controller.queues = asked;
  else controller.vectors = asked;
  command.dw0 = asked;
  return 0;
}

/** A controller without enough queues or vectors stays offline. */
function online(context: AdminContext, command: Command): number {
  const controller = target(context, command);
  if (controller === undefined) {
    return context.refuse(Status.invalidControllerIdentifier, V.cntlid);
  }
  if (controller.queues < leastQueues || controller.vectors < leastVectors) {
    return context.refuse(Status.invalidSecondaryControllerState, V.cntlid);
  }
  if (!controller.isOnline) context.subsystem.secondaries.setOnline(controller, true);
  return 0;
}

function offline(context: AdminContext, command: Command): number {
  const controller = target(context, command);
  if (controller === undefined) {
    return context.refuse(Status.invalidControllerIdentifier, V.cntlid);
  }
  context.subsystem.secondaries.setOnline(controller, false);
  return 0;
}

function target(context: AdminContext, command: Command): SecondaryController | undefined {
  return context.subsystem.secondaries.find(V.cntlid.get(command.words, 0));
}

function poolOf(context: AdminContext, command: Command): ResourcePool | null {
  const { queues, vectors } = context.subsystem.secondaries;
  const type = V.rt.get(command.words, 0);
  if (type === ResourceType.queues) return queues;
  return type === ResourceType.vectors ? vectors : null;
}

/** Flexible resources of the command's type that secondary controllers have. */
function assignedOf(context: AdminContext, command: Command): number {
  const { secondaries } = context.subsystem;
  const isQueues = V.rt.get(command.words, 0) === ResourceType.queues;
  return isQueues ? secondaries.assignedQueues() : secondaries.assignedVectors();
}
