// The decision rule: a class, or "unknown" (null), by the thresholds of the card; as in
// baseline/evaluation/decision_rule.py.

const SIMILARITY_TEMPERATURE = 2;
const SURE_CONFIDENCE = 0.5; // below, a class is more likely wrong than right

/** `membership` is the probability that an image is of one of the classes, or null for older models. */
export function decide(card, probabilities, membership, embedding, gallerySimilarities) {
  const ranked = [...probabilities];
  for (const [name, threshold] of Object.entries(card.thresholds)) {
    const number = card.classes.indexOf(name);
    if (number >= 0 && 1 - probabilities[number] <= threshold) ranked[number] += 2;
  }
  const best = ranked.indexOf(Math.max(...ranked));
  const similarity = membership ?? computeSimilarity(card, probabilities, embedding, gallerySimilarities);
  const isUncertain = card.unknown_below !== null && probabilities[best] * (membership ?? 1) < card.unknown_below;
  const limits = new Map(Object.entries(card.unfamiliar_by_class ?? {}));
  const limit = limits.get(card.classes[best]) ?? card.unfamiliar_below;
  const isUnfamiliar = limit !== null && similarity !== null && similarity < limit;
  const isHidden = !card.shown.includes(card.classes[best]);
  const label = isUncertain || isUnfamiliar || isHidden ? null : card.classes[best];
  const confidence = label === null ? null : probabilities[best] * (membership ?? 1);
  const unsure = confidence !== null && confidence < SURE_CONFIDENCE;
  return { answer: unsure ? null : label, unsure, best: label, confidence, similarity, unfamiliar: isUnfamiliar, unfamiliar_below: limit, has_unknown_rule: card.unfamiliar_below !== null };
}

/** Similarity to the training data; null if the model has no statistics of it. */
function computeSimilarity(card, probabilities, embedding, gallerySimilarities) {
  if (gallerySimilarities) return gallerySimilarities.reduce((first, second) => Math.max(first, second), -1);
  if (!card.scale) return null;
  const { mean, deviation } = card.scale;
  let sum = 0;
  for (let n = 0; n < mean.length; n++) sum += ((embedding[n] - mean[n]) / deviation[n]) ** 2;
  const temperature = SIMILARITY_TEMPERATURE * Math.max(Math.sqrt(sum / mean.length), 1e-6);
  const scores = probabilities.map((value) => Math.log(Math.max(value, 1.1754944e-38)) / temperature);
  const largest = Math.max(...scores);
  return 1 / scores.reduce((sum, score) => sum + Math.exp(score - largest), 0);
}
