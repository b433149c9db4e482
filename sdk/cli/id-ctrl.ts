import { Cns } from '../spec/nvme/identify.js';
import { IdentifyController, PowerState } from '../spec/nvme/identify-controller.js';
import { ControllerFields, PowerFields } from '../spec/nvme/whole-fields.js';
import { parseWords } from './arguments.js';
import { cardOf, cardOptions, withController } from './card.js';
import { type Row, row, rowJson, rowLines } from './field-rows.js';
import type { Json } from './fio-json.js';
import { formatOf, printPage } from './page-output.js';
import type { Terminal } from './terminal.js';

export const usage = `usage: ultima id-ctrl CARD [options]

The Identify Controller structure in the words of 'nvme id-ctrl'.

  -H, --human-readable     what the bits mean
  -o, --output-format WORD normal, json, binary
  -b, --raw-binary         the 4096 bytes themselves

  ultima id-ctrl sim:ultima-g2 -H
  ultima id-ctrl sim:ultima-g2 -o json`;

const C = IdentifyController;
const F = ControllerFields;

/** nvme-cli's order and words [nvme-cli §? id-ctrl]. */
const controllerRows: readonly Row[] = [
  row('vid', 'hex', C.vid),
  row('ssvid', 'hex', C.ssvid),
  row('sn', 'text', C.sn),
  row('mn', 'text', C.mn),
  row('fr', 'text', C.fr),
  row('rab', 'dec', C.rab),
  row('ieee', 'oui', C.ieee),
  row('cmic', 'hex', F.cmic),
  row('mdts', 'dec', C.mdts),
  row('cntlid', 'hex', C.cntlid),
  row('ver', 'hex', C.ver),
  row('rtd3r', 'hex', C.rtd3r),
  row('rtd3e', 'hex', C.rtd3e),
  row('oaes', 'hex', F.oaes),
  row('ctratt', 'hex', F.ctratt),
  row('rrls', 'hex', C.rrls),
  row('cntrltype', 'dec', C.cntrltype),
  row('fguid', 'uuid', C.fguid),
  row('crdt1', 'dec', C.crdt1),
  row('crdt2', 'dec', C.crdt2),
  row('crdt3', 'dec', C.crdt3),
  row('nvmsr', 'dec', C.nvmsr),
  row('vwci', 'dec', C.vwci),
  row('mec', 'dec', C.mec),
  row('oacs', 'hex', F.oacs),
  row('acl', 'dec', F.acl),
  row('aerl', 'dec', F.aerl),
  row('frmw', 'hex', F.frmw),
  row('lpa', 'hex', F.lpa),
  row('elpe', 'dec', F.elpe),
  row('npss', 'dec', F.npss),
  row('avscc', 'hex', C.avscc),
  row('apsta', 'hex', C.apsta),
  row('wctemp', 'dec', C.wctemp),
  row('cctemp', 'dec', C.cctemp),
  row('mtfa', 'dec', C.mtfa),
  row('hmpre', 'dec', C.hmpre),
  row('hmmin', 'dec', C.hmmin),
  row('tnvmcap', 'count', C.tnvmcap),
  row('unvmcap', 'count', C.unvmcap),
  row('rpmbs', 'hex', C.rpmbs),
  row('edstt', 'dec', C.edstt),
  row('dsto', 'dec', F.dsto),
  row('fwug', 'dec', C.fwug),
  row('kas', 'dec', C.kas),
  row('hctma', 'hex', C.hctma),
  row('mntmt', 'dec', C.mntmt),
  row('mxtmt', 'dec', C.mxtmt),
  row('sanicap', 'hex', F.sanicap),
  row('hmminds', 'dec', C.hmminds),
  row('hmmaxd', 'dec', C.hmmaxd),
  row('nsetidmax', 'dec', C.nsetidmax),
  row('endgidmax', 'dec', C.endgidmax),
  row('anatt', 'dec', C.anatt),
  row('anacap', 'dec', F.anacap),
  row('anagrpmax', 'dec', C.anagrpmax),
  row('nanagrpid', 'dec', C.nanagrpid),
  row('pels', 'dec', C.pels),
  row('domainid', 'dec', C.domainId),
  row('megcap', 'count', C.megcap),
  row('sqes', 'hex', F.sqes),
  row('cqes', 'hex', F.cqes),
  row('maxcmd', 'dec', C.maxcmd),
  row('nn', 'dec', C.nn),
  row('oncs', 'hex', F.oncs),
  row('fuses', 'hex', F.fuses),
  row('fna', 'hex', F.fna),
  row('vwc', 'hex', F.vwc),
  row('awun', 'dec', F.awun),
  row('awupf', 'dec', F.awupf),
  row('icsvscc', 'dec', C.icsvscc),
  row('nwpc', 'dec', F.nwpc),
  row('acwu', 'dec', F.acwu),
  row('ocfs', 'hex', C.cdfs),
  row('sgls', 'hex', F.sgls),
  row('mnan', 'dec', C.mnan),
  row('maxdna', 'count', C.maxdna),
  row('maxcna', 'dec', C.maxcna),
  row('subnqn', 'text', C.subnqn),
  row('ioccsz', 'dec', C.ioccsz),
  row('iorcsz', 'dec', C.iorcsz),
  row('icdoff', 'dec', C.icdoff),
  row('fcatt', 'hex', C.fcatt),
  row('msdbd', 'dec', C.msdbd),
  row('ofcs', 'dec', C.ofcs),
];

export async function run(words: readonly string[], terminal: Terminal): Promise<number> {
  const { values, positionals } = parseWords(words, cardOptions);
  const format = formatOf(values);
  const page = await withController(cardOf(positionals, values.card), (controller) =>
    controller.admin.identify(Cns.controller),
  );
  printPage(terminal, format, {
    words: page,
    lines: () => [
      'NVME Identify Controller:',
      ...rowLines(controllerRows, page, {
        width: 10,
        ...(values['human-readable'] === true ? { parts: IdentifyController } : {}),
      }),
      ...powerLines(page),
    ],
    json: () => ({ ...rowJson(controllerRows, page), psds: powerJson(page) }),
  });
  return 0;
}

function powerLines(page: Uint32Array): string[] {
  return powerStates(page).map((at, i) => {
    const watts = wattsText(PowerState.mp.get(page, at), PowerState.mxps.get(page, at));
    const kind = PowerState.nops.get(page, at) === 1 ? 'non-operational' : 'operational';
    const [enlat, exlat] = [PowerState.enlat.get(page, at), PowerState.exlat.get(page, at)];
    return `ps ${String(i).padStart(4)} : mp:${watts} ${kind} enlat:${enlat} exlat:${exlat}`;
  });
}

/** A power that is not reported is 0. */
function wattsText(value: number, isFine: number): string {
  if (value === 0) return '0W';
  return `${(value * (isFine === 1 ? 0.0001 : 0.01)).toFixed(isFine === 1 ? 4 : 2)}W`;
}

function powerJson(page: Uint32Array): Json[] {
  return powerStates(page).map((at) => ({
    max_power: PowerState.mp.get(page, at),
    flags: PowerFields.flags.get(page, at),
    max_power_scale: PowerState.mxps.get(page, at),
    'non-operational_state': PowerState.nops.get(page, at),
    entry_lat: PowerState.enlat.get(page, at),
    exit_lat: PowerState.exlat.get(page, at),
    read_tput: PowerState.rrt.get(page, at),
    read_lat: PowerState.rrl.get(page, at),
    write_tput: PowerState.rwt.get(page, at),
    write_lat: PowerState.rwl.get(page, at),
    idle_power: PowerState.idlp.get(page, at),
    idle_scale: PowerState.ips.get(page, at),
    active_power: PowerState.actp.get(page, at),
    active_power_work: PowerState.apw.get(page, at),
    active_scale: PowerState.aps.get(page, at),
  }));
}

/** Where each power state that the controller has begins. */
function powerStates(page: Uint32Array): number[] {
  const count = Math.min(IdentifyController.npss.get(page, 0), IdentifyController.psd.count);
  return Array.from({ length: count }, (_, i) => IdentifyController.psd.at(0, i));
}
