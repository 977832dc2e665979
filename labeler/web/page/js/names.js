// Names that are typed: which class they mean, and how they are completed, as labeler/sorting/name_matching.py does.

const MIN_TYPO_SIMILARITY = 0.85; // of names that differ by one extra letter, or by one wrong letter of seven
const ACCENTS = /(?<=[\p{Script=Latin}\p{Script=Greek}\p{Script=Cyrillic}])\p{M}+/gu;
const toHiragana = (text) => text.replace(/[\u30a1-\u30f6]/g, (letter) => String.fromCharCode(letter.charCodeAt(0) - 0x60));

/** A name without case, width, accents, blanks around it, and the kind of kana. */
export const fold = (name) => toHiragana(name.normalize("NFKD").toLowerCase().replace(ACCENTS, "").normalize("NFC").trim().replace(/\s+/g, " "));
const wordsOf = (name) => name.split(/[^\p{L}\p{M}\p{N}]+/u).filter(Boolean);

/** The known name `[text, class]` that a text equals, or null for a new name. */
export function matchName(text, names) {
  const matches = names.filter(([name]) => fold(name) === fold(text));
  return matches.find(([name]) => name === text) ?? matches[0] ?? null;
}

/** The class that a typed name means, or the name of a new one. */
export const resolveName = (text, names) => matchName(text, names)?.[1] ?? text.trim();

/** The known names that begin with a text, then those in which a later word does. */
export function completeName(text, names) {
  const prefix = fold(text);
  if (!prefix) return [];
  const begins = (words) => words.some((word) => fold(word).startsWith(prefix));
  const first = names.filter(([name]) => begins([name]));
  return [...first, ...names.filter(([name]) => !begins([name]) && begins(wordsOf(name).slice(1)))];
}

/** The class of which a new name is probably a typing mistake; "" for none. */
export function findTypo(text, names) {
  const typed = fold(text);
  const near = names.find(([name]) => similarity(typed, fold(name)) >= MIN_TYPO_SIMILARITY);
  return matchName(text, names) || !near ? "" : near[1];
}

function similarity(one, other) {
  const letters = one.length + other.length;
  return letters ? (2 * commonLength(one, other)) / letters : 0;
}

/** Number of letters of the longest common subsequence. */
function commonLength(one, other) {
  let row = Array(other.length + 1).fill(0);
  for (const letter of one) {
    const next = [0];
    for (let column = 0; column < other.length; column++) {
      next.push(letter === other[column] ? row[column] + 1 : Math.max(row[column + 1], next[column]));
    }
    row = next;
  }
  return row[other.length];
}
