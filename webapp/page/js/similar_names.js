// Names of classes that a typed name may mean.

const MAX_TYPING_MISTAKES = 1 / 3; // share of the letters of a name
const ACCENTS = /(?<=[\p{Script=Latin}\p{Script=Greek}\p{Script=Cyrillic}])\p{M}+/gu;

/**
 * The one of some names that has the words of a typed name, in any order, and fewest others, or only words of it; else
 * the only one that begins with it; else the one that differs least from it, if it differs by little, as a typing mistake
 * does. Case and accents do not count.
 */
export function findSimilarName(name, names) {
  const typed = fold(name);
  return findNearest((other) => countOtherWords(wordsOf(typed), wordsOf(other)), names, Infinity, true)
    ?? findNearest((other) => (typed && other.startsWith(typed) ? 0 : NaN), names, 0, true)
    ?? findNearest((other) => editDistance(typed, other), names, typed.length * MAX_TYPING_MISTAKES, false);
}

/** The name of the least distance up to a limit; null without one, or if `isAlone` and two are as near. */
function findNearest(distanceTo, names, limit, isAlone) {
  const distances = names.map((name) => ({ name, distance: distanceTo(fold(name)) })).filter(({ distance }) => distance <= limit);
  const [nearest, next] = distances.sort((first, second) => first.distance - second.distance);
  return !nearest || (isAlone && nearest.distance === next?.distance) ? null : nearest.name;
}

/** Number of words that one of two names has and the other not; NaN if both have some, or it is one word among several. */
function countOtherWords(typed, words) {
  const isPart = typed.length > 0 && typed.every((word) => words.includes(word));
  const hasAll = words.length > 1 && words.every((word) => typed.includes(word));
  return isPart || hasAll ? Math.abs(words.length - typed.length) : NaN;
}

const fold = (name) => name.normalize("NFKD").toLowerCase().replace(ACCENTS, "").normalize("NFC");
const wordsOf = (name) => name.split(/[^\p{L}\p{M}\p{N}]+/u).filter(Boolean);

/** Number of letters to insert, delete or replace (Levenshtein). */
function editDistance(one, other) {
  let row = Array.from({ length: other.length + 1 }, (_, column) => column);
  for (const [number, letter] of [...one].entries()) {
    const next = [number + 1];
    for (let column = 0; column < other.length; column++) {
      next.push(Math.min(row[column] + (letter === other[column] ? 0 : 1), row[column + 1] + 1, next[column] + 1));
    }
    row = next;
  }
  return row[other.length];
}
