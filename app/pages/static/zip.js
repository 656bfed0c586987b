// Packs files into a ZIP archive, as PKWARE's APPNOTE 6.3.10 describes it. Nothing is compressed: pictures are already.

const [LOCAL, CENTRAL, END] = [0x04034b50, 0x02014b50, 0x06054b50]; // signatures of an archive's parts
const VERSION = 20; // of the format, which is the first one with folders
const UTF8_NAMES = 1 << 11;
const NO_TIME = [2, 0];
const NO_DATE = [2, 0x21]; // 1 January 1980, the first one that the format knows
const NONE = [2, 0];

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, value) => {
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value;
});

/**
 * @param {{path: string, content: Blob}[]} files with different paths, of less than 4 GB together
 * @returns {Promise<Blob>} which refers to the contents and does not copy them
 */
export async function zip(files) {
  const [contents, directory] = [[], []];
  let offset = 0;
  for (const { path, content } of files) {
    const name = new TextEncoder().encode(path);
    const crc = crc32(new Uint8Array(await content.arrayBuffer()));
    const { size } = content;
    const entry = [[2, VERSION], [2, UTF8_NAMES], NONE, NO_TIME, NO_DATE, [4, crc], [4, size], [4, size], [2, name.length], NONE];
    const head = bytes([4, LOCAL], ...entry);
    contents.push(head, name, content);
    directory.push(bytes([4, CENTRAL], [2, VERSION], ...entry, NONE, NONE, NONE, [4, 0], [4, offset]), name);
    offset += head.length + name.length + size;
  }
  const size = directory.reduce((sum, { length }) => sum + length, 0);
  const end = bytes([4, END], NONE, NONE, [2, files.length], [2, files.length], [4, size], [4, offset], NONE);
  return new Blob([...contents, ...directory, end], { type: "application/zip" });
}

/** Return numbers as little-endian bytes. Each number comes after its size, which is 2 or 4 bytes. */
function bytes(...fields) {
  return Uint8Array.from(fields.flatMap(([size, value]) => Array.from({ length: size }, (_, index) => value >>> (8 * index))));
}

/** Return the checksum of ISO 3309, as archives and PNG files have it. */
function crc32(content) {
  let crc = 0xffffffff;
  for (const byte of content) crc = CRC_TABLE[(crc ^ byte) & 255] ^ (crc >>> 8);
  return ~crc >>> 0;
}

/**
 * Return paths that differ, also on systems that do not tell capitals from small letters.
 *
 * @param {string[]} paths of which a repeated one gets a number, as in "a-2.png"
 */
export function uniquePaths(paths) {
  const used = new Set();
  return paths.map((path) => {
    let unique = path;
    for (let count = 2; used.has(unique.toLowerCase()); count++) unique = path.replace(/(\.[^./]*)?$/, `-${count}$1`);
    used.add(unique.toLowerCase());
    return unique;
  });
}
