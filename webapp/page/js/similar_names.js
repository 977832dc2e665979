// Names of classes that a typed name may mean.

const MAX_TYPING_MISTAKES = 1 / 3; // share of the letters of a name

/** The one of some names that differs least from a typed name, if it differs by little, as a typing mistake does. */
export function findSimilarName(name, names) {
  const distances = names.map((other) => [editDistance(name.toLowerCase(), other.toLowerCase()), other]);
  const [distance, similar] = distances.sort(([first], [second]) => first - second)[0] ?? [Infinity, null];
  return distance <= name.length * MAX_TYPING_MISTAKES ? similar : null;
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
