/**
 * The type of each page of a block: an index into the profile's page types.
 *
 * 'alternating'  types in turn: 0 1 0 1 .. for two, 0 1 2 0 1 2 .. for three
 * 'paired'       the order of a TLC block of MQSim: six pages of type 0, two of type 1, then pairs
 * of
 *                each type in turn; with other than three types the same with as many
 */
export function pageTypesOf(order: string, pages: number, types: number): Uint8Array {
  const table = new Uint8Array(pages);
  for (let page = 0; page < pages; page++) {
    table[page] = order === 'paired' ? pairedType(page, types) : page % types;
  }
  return table;
}

export const pageOrders: readonly string[] = ['alternating', 'paired'];

function pairedType(page: number, types: number): number {
  if (page <= 5 || types === 1) return 0;
  if (page <= 7) return 1;
  return ((page - 8) >> 1) % types;
}
