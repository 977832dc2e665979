// What a model answers: a class, or "unknown" (null), by the thresholds of its card. The rule of
// baseline/evaluation/decision_rule.py and familiarity.py.

const SOFTER = 2;

export function decided(card, probabilities, embedding, likeness) {
  const ranked = [...probabilities];
  for (const [name, threshold] of Object.entries(card.thresholds)) {
    const number = card.classes.indexOf(name);
    if (number >= 0 && 1 - probabilities[number] <= threshold) ranked[number] += 2;
  }
  const best = ranked.indexOf(Math.max(...ranked));
  const familiarity = familiar(card, probabilities, embedding, likeness);
  const doubtful = card.unknown_below !== null && probabilities[best] < card.unknown_below;
  const strange = card.unfamiliar_below !== null && familiarity !== null && familiarity < card.unfamiliar_below;
  const hidden = !card.shown.includes(card.classes[best]);
  return { label: doubtful || strange || hidden ? null : card.classes[best], familiarity, unfamiliar: strange, tells_strangers: card.unfamiliar_below !== null };
}

/** How much a picture looks like what was learnt from; null where the model cannot tell. */
function familiar(card, probabilities, embedding, likeness) {
  if (likeness) return likeness.reduce((one, other) => Math.max(one, other), -1);
  if (!card.scale) return null;
  const { mean, deviation } = card.scale;
  let sum = 0;
  for (let n = 0; n < mean.length; n++) sum += ((embedding[n] - mean[n]) / deviation[n]) ** 2;
  const farther = SOFTER * Math.max(Math.sqrt(sum / mean.length), 1e-6);
  const scores = probabilities.map((one) => Math.log(Math.max(one, 1.1754944e-38)) / farther);
  const most = Math.max(...scores);
  return 1 / scores.reduce((all, one) => all + Math.exp(one - most), 0);
}
