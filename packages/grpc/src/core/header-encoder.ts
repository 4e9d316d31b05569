/**
 * A header that many answers share: sent in full once on a connection, afterwards as one byte. Made once for all
 * connections; names are lower case.
 */
export interface FixedHeader {
  readonly name: string;
  readonly value: string;
}

/** Bytes that RFC 7541 §4.1 counts for an entry beyond its name and value. */
const entryOverhead = 32;

/** The dynamic table's first index (RFC 7541 §2.3.3). */
const firstIndex = 62;

/** Bytes of table that a peer must allow before its table is used. Fixed headers are few and small. */
const usedTableBytes = 1_024;

/**
 * Header lists to header blocks (RFC 7541), without Huffman code. Fixed headers go into the peer's table, as long as it
 * allows one; all others are literals that no table keeps.
 */
export class HeaderEncoder {
  readonly #at = new Map<FixedHeader, number>();
  #inserted = 0;
  #tableBytes = 0;
  #usesTable = true;
  #mustEmpty = false;

  /** What the peer allows (SETTINGS_HEADER_TABLE_SIZE); a small table is not used. */
  setTableLimit(bytes: number): void {
    if (bytes >= usedTableBytes || !this.#usesTable) return;
    this.#usesTable = false;
    this.#mustEmpty = true;
    this.#at.clear();
  }

  /** Appends a block to `out`: `status` is of HTTP, 0 for trailers. */
  encode(out: number[], status: number, fixed: readonly FixedHeader[], others: readonly string[] = []): void {
    if (this.#mustEmpty) {
      // RFC 7541 §4.2: a smaller limit is said at the start of the next block.
      out.push(0x20);
      this.#mustEmpty = false;
    }
    if (status === 200) out.push(0x88);
    else if (status !== 0) literal(out, ':status', String(status), 0);
    for (const header of fixed) this.#fixed(out, header);
    for (let i = 0; i < others.length; i += 2) literal(out, others[i]!, others[i + 1]!, 0);
  }

  #fixed(out: number[], header: FixedHeader): void {
    const at = this.#at.get(header);
    if (at !== undefined) {
      out.push(0x80 | (firstIndex + this.#inserted - 1 - at));
      return;
    }
    const bytes = header.name.length + header.value.length + entryOverhead;
    const isKept = this.#usesTable && this.#tableBytes + bytes <= usedTableBytes;
    literal(out, header.name, header.value, isKept ? 0x40 : 0);
    if (!isKept) return;
    this.#at.set(header, this.#inserted++);
    this.#tableBytes += bytes;
  }
}

function literal(out: number[], name: string, value: string, kind: number): void {
  out.push(kind);
  string(out, name);
  string(out, value);
}

function string(out: number[], text: string): void {
  if (text.length < 127) out.push(text.length);
  else {
    out.push(127);
    let rest = text.length - 127;
    for (; rest >= 128; rest = Math.floor(rest / 128)) out.push(128 | (rest & 127));
    out.push(rest);
  }
  for (let i = 0; i < text.length; i++) out.push(text.charCodeAt(i) & 255);
}
