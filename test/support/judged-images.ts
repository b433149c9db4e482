/**
 * The images of one cut that were judged, each by what stood where the pool looked. A pool is a
 * function of what it reads: an image that is the same in all these places is judged by that.
 */
export class JudgedImages {
  private readonly blockBytes: number;
  /** For each block of the device its place in the lists below, from 1; 0 where nothing is open. */
  private readonly places: Uint32Array;
  private placeCount = 0;
  /** By place: which write got through last, from 1; 0 for none. */
  private states = new Uint32Array(64);
  /** By place: whether the pool has looked there. */
  private looked = new Uint8Array(64);
  private readonly images: { readonly places: Uint32Array; readonly states: Uint32Array }[] = [];

  constructor(bytes: number, blockBytes: number) {
    this.blockBytes = blockBytes;
    this.places = new Uint32Array(bytes / blockBytes);
  }

  /** Another cut, in which these bytes of the device are open. */
  begin(open: readonly number[]): void {
    this.places.fill(0);
    this.images.length = 0;
    this.placeCount = 0;
    for (const at of open) this.places[at / this.blockBytes] ||= ++this.placeCount;
    if (this.states.length <= this.placeCount) {
      this.states = new Uint32Array(2 * this.placeCount);
      this.looked = new Uint8Array(2 * this.placeCount);
    }
  }

  /** Another image, into which nothing has got through so far. */
  next(): void {
    this.states.fill(0, 0, this.placeCount + 1);
    this.looked.fill(0, 0, this.placeCount + 1);
  }

  /** @param write  its number, from 1 */
  gotThrough(at: number, write: number): void {
    this.states[this.places[at / this.blockBytes]!] = write;
  }

  read(at: number, length: number): void {
    const { places, looked } = this;
    const end = (at + length) / this.blockBytes;
    for (let block = at / this.blockBytes; block < end; block++) looked[places[block]!] = 1;
  }

  /** Whether an image was judged that is the same wherever the pool looked. */
  isKnown(): boolean {
    const { states } = this;
    return this.images.some((image) =>
      image.places.every((place, i) => states[place] === image.states[i]),
    );
  }

  /** The image was judged; what was read meanwhile says what it stands for. */
  add(): void {
    const all = Uint32Array.from({ length: this.placeCount }, (_, i) => i + 1);
    const places = all.filter((place) => this.looked[place] === 1);
    this.images.push({ places, states: places.map((place) => this.states[place]!) });
  }
}
