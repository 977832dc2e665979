// Names of classes that a typed name may mean.

const MAX_TYPING_MISTAKES = 1 / 3; // share of the letters of a name

/**
 * The one of some names that differs least from a typed name, if it differs by little, as a typing mistake does. Words
 * may be in another order, and the typed name may have more of them.
 */
export function findSimilarName(name, names) {
  const distances = names.map((other) => [distanceBetween(name, other), other]);
  const [distance, similar] = distances.sort(([first], [second]) => first - second)[0] ?? [Infinity, null];
  return distance <= name.length * MAX_TYPING_MISTAKES ? similar : null;
}

function distanceBetween(name, other) {
  const [words, others] = [wordsOf(name), wordsOf(other)];
  if (others.length > 1 && others.every((word) => words.includes(word))) return words.length - others.length;
  return editDistance(name.toLowerCase(), other.toLowerCase());
}

function wordsOf(name) {
  return name.toLowerCase().split(/[^\p{L}\p{N}]+/u).filter(Boolean);
}

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
