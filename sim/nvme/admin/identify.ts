import { Identify } from '../../../sdk/spec/nvme/admin-command.js';
import { Sqe } from '../../../sdk/spec/nvme/command.js';
import { Cns, CommandSet, identifyBytes, Nsid } from '../../../sdk/spec/nvme/identify.js';
import { Status } from '../../../sdk/spec/nvme/status.js';
import type { Command } from '../command.js';
import type { Namespace } from '../namespace.js';
import type { AdminContext } from './context.js';
import { hasSecondaries, writeController, writeControllerNvm } from './controller-page.js';
import * as lists from './identify-lists.js';
import {
  writeCommon,
  writeDescriptors,
  writeIndependent,
  writeNamespace,
  writeNamespaceNvm,
} from './namespace-page.js';

/** [NVMe-2.0 §5.17 Identify] */
export function identify(context: AdminContext, command: Command): number {
  const words = context.blankPage();
  const status = fill(context, command, words);
  return status === 0 ? context.sendPage(command, identifyBytes) : status;
}

type Filler = (context: AdminContext, command: Command, words: Uint32Array) => number;

function fill(context: AdminContext, command: Command, words: Uint32Array): number {
  const filler = fillers.get(Identify.cns.get(command.words, 0));
  if (filler === undefined) return context.refuse(Status.invalidField, Identify.cns);
  return filler(context, command, words);
}

/** @returns 0 and an empty page when there is nothing to show */
function showActive(
  context: AdminContext,
  command: Command,
  write: (namespace: Namespace) => void,
): number {
  const { nsid } = command;
  if (!context.subsystem.isValidNsid(nsid)) {
    return context.refuse(Status.invalidNamespaceOrFormat, Sqe.nsid);
  }
  const namespace = context.subsystem.active(nsid, context.controllerId);
  if (namespace !== undefined) write(namespace);
  return 0;
}

const namespacePage: Filler = (context, command, words) => {
  if (command.nsid === Nsid.broadcast && context.profile.subsystem.hasNamespaceManagement) {
    writeCommon(context.profile, words);
    return 0;
  }
  return showActive(context, command, (it) => writeNamespace(context, words, it));
};

const controllerPage: Filler = (context, _, words) => {
  writeController(context, words);
  return 0;
};

/** A list begins after NSID: the two highest values cannot begin one. */
function listAfter(context: AdminContext, command: Command): number {
  return command.nsid >= Nsid.lastUsable
    ? context.refuse(Status.invalidNamespaceOrFormat, Sqe.nsid)
    : 0;
}

const activeList: Filler = (context, command, words) => {
  const status = listAfter(context, command);
  if (status !== 0) return status;
  const { subsystem, controllerId } = context;
  const nsids = subsystem.namespaces.filter((it) => it.attached.has(controllerId));
  lists.writeNamespaceList(words, nsids.map(nsidOf), command.nsid);
  return 0;
};

const allocatedList: Filler = (context, command, words) => {
  const status = needsManagement(context) || listAfter(context, command);
  if (status !== 0) return status;
  lists.writeNamespaceList(words, context.subsystem.namespaces.map(nsidOf), command.nsid);
  return 0;
};

const allocatedPage: Filler = (context, command, words) => {
  const status = needsManagement(context);
  if (status !== 0) return status;
  if (!context.subsystem.isValidNsid(command.nsid)) {
    return context.refuse(Status.invalidNamespaceOrFormat, Sqe.nsid);
  }
  const namespace = context.subsystem.namespace(command.nsid);
  if (namespace !== undefined) writeNamespace(context, words, namespace);
  return 0;
};

function nsidOf(namespace: Namespace): number {
  return namespace.nsid;
}

function needsManagement(context: AdminContext): number {
  const isThere = context.profile.subsystem.hasNamespaceManagement;
  return isThere ? 0 : context.refuse(Status.invalidField, Identify.cns);
}

const descriptors: Filler = (context, command, words) => {
  const { nsid } = command;
  if (!context.subsystem.isValidNsid(nsid)) {
    return context.refuse(Status.invalidNamespaceOrFormat, Sqe.nsid);
  }
  const namespace = context.subsystem.active(nsid, context.controllerId);
  if (namespace === undefined) return context.refuse(Status.invalidField, Sqe.nsid);
  writeDescriptors(words, namespace);
  return 0;
};

const controllersOfNamespace: Filler = (context, command, words) => {
  const status = needsManagement(context);
  if (status !== 0) return status;
  const { nsid } = command;
  const namespace = context.subsystem.namespace(nsid);
  if (!context.subsystem.isValidNsid(nsid)) {
    return context.refuse(Status.invalidNamespaceOrFormat, Sqe.nsid);
  }
  const ids = namespace === undefined ? [] : [...namespace.attached].sort((a, b) => a - b);
  lists.writeControllerList(words, ids, Identify.cntid.get(command.words, 0));
  return 0;
};

const controllers: Filler = (context, command, words) => {
  const status = needsManagement(context);
  if (status !== 0) return status;
  const from = Identify.cntid.get(command.words, 0);
  lists.writeControllerList(words, context.subsystem.controllerIds, from);
  return 0;
};

/** Virtualization pages are the primary controller's. */
function ofPrimary(write: (context: AdminContext, command: Command, words: Uint32Array) => void) {
  const filler: Filler = (context, command, words) => {
    if (!hasSecondaries(context)) return context.refuse(Status.invalidField, Identify.cns);
    write(context, command, words);
    return 0;
  };
  return filler;
}

/** CNS values that speak of one I/O command set: here there is one. */
function ofNvmSet(inner: Filler): Filler {
  return (context, command, words) => {
    const isNvm = Identify.csi.get(command.words, 0) === CommandSet.nvm;
    if (!isNvm) return context.refuse(Status.invalidCommandSet, Identify.csi);
    return inner(context, command, words);
  };
}

const namespaceOfSet: Filler = (context, command, words) =>
  showActive(context, command, () => writeNamespaceNvm(context.profile, words));

/** CNS 09h and 0Ah: what a namespace would be like with one of the formats. */
function ofFormat(write: (context: AdminContext, words: Uint32Array) => void): Filler {
  return ofNvmSet((context, command, words) => {
    if (cnssid(command) >= context.profile.lbaFormats.length) {
      return context.refuse(Status.invalidField, Identify.cnssid);
    }
    write(context, words);
    return 0;
  });
}

const allocatedOfSet: Filler = (context, command, words) => {
  if (!context.subsystem.isValidNsid(command.nsid)) {
    return context.refuse(Status.invalidNamespaceOrFormat, Sqe.nsid);
  }
  const isThere = context.subsystem.namespace(command.nsid) !== undefined;
  if (isThere) writeNamespaceNvm(context.profile, words);
  return 0;
};

const independentPage: Filler = (context, command, words) =>
  showActive(context, command, (it) => writeIndependent(context, words, it));

function cnssid(command: Command): number {
  return Identify.cnssid.get(command.words, 0);
}

/** CNS 1Ch names a controller by its identifier; all-ones is the one that is asked. */
const commandSets: Filler = (context, command, words) => {
  const id = Identify.cntid.get(command.words, 0);
  const isKnown = id === askedController || context.subsystem.hasController(id);
  if (!isKnown) return context.refuse(Status.invalidField, Identify.cntid);
  lists.writeCommandSets(words);
  return 0;
};

const askedController = 0xffff;

function always(write: (context: AdminContext, command: Command, words: Uint32Array) => void) {
  const filler: Filler = (context, command, words) => {
    write(context, command, words);
    return 0;
  };
  return filler;
}

const fillers: ReadonlyMap<number, Filler> = new Map([
  [Cns.namespace, namespacePage],
  [Cns.controller, controllerPage],
  [Cns.activeNamespaces, activeList],
  [Cns.namespaceDescriptors, descriptors],
  [
    Cns.nvmSets,
    always((context, command, words) => lists.writeNvmSets(context, words, cnssid(command))),
  ],
  [Cns.namespaceOfCommandSet, ofNvmSet(namespaceOfSet)],
  [Cns.controllerOfCommandSet, ofNvmSet(always((_context, _, words) => writeControllerNvm(words)))],
  [Cns.activeNamespacesOfCommandSet, ofNvmSet(activeList)],
  [Cns.namespaceIndependent, independentPage],
  [Cns.namespaceOfFormat, ofFormat(({ profile }, words) => writeCommon(profile, words))],
  [
    Cns.namespaceOfFormatAndSet,
    ofFormat(({ profile }, words) => writeNamespaceNvm(profile, words)),
  ],
  [Cns.allocatedNamespaces, allocatedList],
  [Cns.allocatedNamespace, allocatedPage],
  [Cns.controllersOfNamespace, controllersOfNamespace],
  [Cns.controllers, controllers],
  [Cns.primaryCapabilities, ofPrimary((context, _, words) => lists.writePrimary(context, words))],
  [
    Cns.secondaryControllers,
    ofPrimary((context, command, words) =>
      lists.writeSecondaries(context, words, Identify.cntid.get(command.words, 0)),
    ),
  ],
  [Cns.namespaceGranularity, always((context, _, words) => lists.writeGranularity(context, words))],
  [Cns.uuids, always(() => {})],
  [
    Cns.enduranceGroups,
    always((_, command, words) => lists.writeEnduranceGroups(words, cnssid(command))),
  ],
  [Cns.allocatedNamespacesOfCommandSet, ofNvmSet(allocatedList)],
  [Cns.allocatedNamespaceOfCommandSet, ofNvmSet(allocatedOfSet)],
  [Cns.commandSets, commandSets],
]);
