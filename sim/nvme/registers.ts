import type { Bits } from '../../sdk/spec/layout.js';
import {
  Acq,
  Aqa,
  Asq,
  Cap,
  Cc,
  Cmbloc,
  Cmbmsc,
  Cmbsz,
  CommandSetSelect,
  Crto,
  Csts,
  doorbellBase,
  pageShiftBase,
  Register,
  Vs,
} from '../../sdk/spec/nvme/registers.js';
import type { ControllerProfile } from '../profiles/profile.js';

const wordBytes = 4;
/** The BAR of the controller memory buffer; the registers are in BAR 0. */
export const memoryBufferBar = 2;
/** CMBSZ counts units of 4 KiB (SZU 0). */
const memoryBufferUnit = 4096;

/** Dword index of a register in the window. */
function at(offset: number): number {
  return offset / wordBytes;
}

/** Everything of a register that the controller keeps when a host writes it; the rest reads 0. */
function writableBits(fields: readonly Bits[]): number {
  return fields.reduce((mask, field) => field.put(mask, field.max), 0);
}

const ccBits = writableBits([Cc.en, Cc.css, Cc.mps, Cc.ams, Cc.shn, Cc.iosqes, Cc.iocqes]);
const aqaBits = writableBits([Aqa.asqs, Aqa.acqs]);
/** ASQ, ACQ and CMBMSC hold 4 KiB aligned addresses: bits 11:0 of the low dword are reserved. */
const pageBits = writableBits([Cmbmsc.cbaLow]);
const cmbmscBits = writableBits([Cmbmsc.cre, Cmbmsc.cmse, Cmbmsc.cbaLow]);

/**
 * The register file below the doorbells, as a host reads it: one dword per entry, reserved ones 0.
 * What a write sets in motion is the controller's business; here only the values live.
 */
export class Registers {
  readonly words = new Uint32Array(doorbellBase / wordBytes);
  private readonly profile: ControllerProfile;

  constructor(profile: ControllerProfile) {
    this.profile = profile;
    this.setConstants();
  }

  read(offset: number): number {
    return this.words[offset / wordBytes] ?? 0;
  }

  /** CC. */
  get configuration(): number {
    return this.words[at(Register.cc)]!;
  }

  set configuration(value: number) {
    this.words[at(Register.cc)] = value & ccBits;
  }

  get isEnabled(): boolean {
    return Cc.en.get(this.words, at(Register.cc)) === 1;
  }

  get pageBytes(): number {
    return 2 ** (pageShiftBase + Cc.mps.get(this.words, at(Register.cc)));
  }

  setReady(value: number): void {
    Csts.rdy.set(this.words, at(Register.csts), value);
  }

  get isReady(): boolean {
    return Csts.rdy.get(this.words, at(Register.csts)) === 1;
  }

  setFatal(value: number): void {
    Csts.cfs.set(this.words, at(Register.csts), value);
  }

  setShutdown(value: number): void {
    Csts.shst.set(this.words, at(Register.csts), value);
  }

  setSubsystemReset(value: number): void {
    Csts.nssro.set(this.words, at(Register.csts), value);
  }

  /** INTMS and INTMC read the same: the mask. */
  setInterruptMask(mask: number): void {
    this.words[at(Register.intms)] = mask;
    this.words[at(Register.intmc)] = mask;
  }

  get submissionEntries(): number {
    return Aqa.asqs.get(this.words, at(Register.aqa));
  }

  get completionEntries(): number {
    return Aqa.acqs.get(this.words, at(Register.aqa));
  }

  get submissionAddress(): number {
    return Asq.asqb.get(this.words, at(Register.asq));
  }

  get completionAddress(): number {
    return Acq.acqb.get(this.words, at(Register.acq));
  }

  /** AQA, ASQ or ACQ; the caller knows that the offset is one of theirs. */
  writeAdminQueue(offset: number, value: number): void {
    let mask = 0xffff_ffff;
    if (offset === Register.aqa) mask = aqaBits;
    if (offset === Register.asq || offset === Register.acq) mask = pageBits;
    this.words[at(offset)] = value & mask;
  }

  /** CMBMSC, either half. CMBLOC and CMBSZ say what is there while CRE is 1. */
  writeMemorySpaceControl(offset: number, value: number): void {
    this.words[at(offset)] = offset === Register.cmbmsc ? value & cmbmscBits : value;
    const isShown = this.areBufferRegistersShown;
    Cmbloc.bir.set(this.words, at(Register.cmbloc), isShown ? memoryBufferBar : 0);
    const flags = [Cmbloc.cqmms, Cmbloc.cdpmls, Cmbloc.cdpcils, Cmbloc.cdmmms, Cmbloc.cqda];
    for (const flag of flags) flag.set(this.words, at(Register.cmbloc), isShown ? 1 : 0);
    const uses = [Cmbsz.sqs, Cmbsz.cqs, Cmbsz.lists, Cmbsz.rds, Cmbsz.wds];
    for (const use of uses) use.set(this.words, at(Register.cmbsz), isShown ? 1 : 0);
    const units = this.profile.memoryBufferBytes / memoryBufferUnit;
    Cmbsz.sz.set(this.words, at(Register.cmbsz), isShown ? units : 0);
  }

  get areBufferRegistersShown(): boolean {
    return Cmbmsc.cre.get(this.words, at(Register.cmbmsc)) === 1;
  }

  get isBufferPlaced(): boolean {
    return Cmbmsc.cmse.get(this.words, at(Register.cmbmsc)) === 1;
  }

  /** CMBMSC.CBA in two halves, the low one with its bits in place. */
  get bufferBaseLow(): number {
    return (this.words[at(Register.cmbmsc)]! & pageBits) >>> 0;
  }

  get bufferBaseHigh(): number {
    return Cmbmsc.cbaHigh.get(this.words, at(Register.cmbmsc));
  }

  setBufferBaseInvalid(value: number): void {
    this.words[at(Register.cmbsts)] = value;
  }

  /** CC.EN 1 → 0: AQA, ASQ, ACQ and CMBMSC stay, CC is what the host wrote [NVMe-2.0 §3.7.2]. */
  resetController(): void {
    this.setFatal(0);
    this.setShutdown(0);
    this.setInterruptMask(0);
  }

  /** Any other reset: all values as at power-on, but NSSRO. */
  resetAll(): void {
    const csts = this.words[at(Register.csts)]!;
    this.words.fill(0);
    this.setConstants();
    this.setSubsystemReset(Csts.nssro.of(csts));
  }

  private setConstants(): void {
    const words = this.words;
    const profile = this.profile;
    const cap = at(Register.cap);
    Cap.mqes.set(words, cap, profile.queueEntries);
    Cap.cqr.set(words, cap, profile.isContiguousQueuesRequired ? 1 : 0);
    Cap.amsWrr.set(words, cap, profile.hasWeightedRoundRobin ? 1 : 0);
    Cap.to.set(words, cap, profile.readyTimeout500Ms);
    Cap.dstrd.set(words, cap, profile.doorbellStride);
    Cap.nssrs.set(words, cap, profile.hasSubsystemReset ? 1 : 0);
    Cap.cssNvm.set(words, cap, 1);
    Cap.cssIocs.set(words, cap, 1);
    Cap.mpsmin.set(words, cap, Math.log2(profile.pageBytesMin) - pageShiftBase);
    Cap.mpsmax.set(words, cap, Math.log2(profile.pageBytesMax) - pageShiftBase);
    Cap.cmbs.set(words, cap, profile.memoryBufferBytes > 0 ? 1 : 0);
    Cap.crwms.set(words, cap, 1);
    Vs.mjr.set(words, at(Register.vs), 2);
    Crto.crwmt.set(words, at(Register.crto), profile.readyTimeout500Ms);
  }
}

/** Why these registers do not describe a controller that can be enabled; null when they do. */
export function enableFault(registers: Registers): string | null {
  const { words, configuration, pageBytes } = registers;
  const cap = at(Register.cap);
  const pageShift = Cc.mps.of(configuration);
  if (pageShift < Cap.mpsmin.get(words, cap) || pageShift > Cap.mpsmax.get(words, cap)) {
    return 'CC.MPS is outside CAP.MPSMIN..CAP.MPSMAX';
  }
  const { css, ams } = Cc;
  if (!isCommandSetSupported(words, css.of(configuration))) {
    return 'CC.CSS selects command sets that CAP.CSS does not offer';
  }
  const arbitration = ams.of(configuration);
  if (arbitration > Cap.amsWrr.get(words, cap)) {
    return 'CC.AMS selects an arbitration that CAP.AMS does not offer';
  }
  if (registers.submissionEntries < 2) return 'AQA.ASQS is less than two entries';
  if (registers.completionEntries < 2) return 'AQA.ACQS is less than two entries';
  if (registers.submissionAddress === 0 || registers.submissionAddress % pageBytes !== 0) {
    return 'ASQ is no address of a memory page';
  }
  if (registers.completionAddress === 0 || registers.completionAddress % pageBytes !== 0) {
    return 'ACQ is no address of a memory page';
  }
  return null;
}

function isCommandSetSupported(words: Uint32Array, selected: number): boolean {
  const cap = at(Register.cap);
  if (selected === CommandSetSelect.nvm) return Cap.cssNvm.get(words, cap) === 1;
  if (selected === CommandSetSelect.all) return Cap.cssIocs.get(words, cap) === 1;
  return selected === CommandSetSelect['admin only'] && Cap.cssNoio.get(words, cap) === 1;
}
