import type { FlashProfile } from './flash-profile.js';

/** Counts that follow from a profile. Dies are numbered across the channels first. */
export class Geometry {
  readonly channels: number;
  readonly dies: number;
  readonly planesPerDie: number;
  readonly blocksPerPlane: number;
  readonly pagesPerBlock: number;

  constructor(flash: FlashProfile) {
    this.channels = flash.channels;
    this.dies = flash.channels * flash.packagesPerChannel * flash.diesPerPackage;
    this.planesPerDie = flash.planesPerDie;
    this.blocksPerPlane = flash.blocksPerPlane;
    this.pagesPerBlock = flash.pagesPerBlock;
  }

  channelOf(die: number): number {
    return die % this.channels;
  }

  get pageCount(): number {
    return this.dies * this.planesPerDie * this.blocksPerPlane * this.pagesPerBlock;
  }
}
