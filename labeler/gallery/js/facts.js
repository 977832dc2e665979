// What the page knows, and which samples fit what is asked for.
//
// `classes`: name, how many there are (`total`) and are `shown`. `samples`: `class` (number), `image`
// (its thumbnail), and what is known of it. `sections`: what a "class" is: a class, cluster or track.
// `notes`: of a track, its video and time.

const facts = JSON.parse(byId("facts").textContent);
const { classes, samples, side } = facts;
const ofClasses = facts.sections === "class"; // or of clusters or tracks, which have no name yet
const MARKS = { issue: "?", duplicate: "=" };
const MARK_WORDS = { issue: "label issue", duplicate: "has copies" };
const SPLITS = ["train", "val", "test"];
const asked = { text: "", class: "", flag: "", split: "", source: "", decided: "" };

const flagWords = (flag) => words(MARK_WORDS[flag] ?? flag.replace("_", " "));
const marksOf = (sample) => (sample.flags ?? []).filter((flag) => flag in MARKS);

for (const [slot, sample] of samples.entries()) {
  sample.slot = slot;
  const searched = [classes[sample.class].name, sample.title, sample.author, sample.source, sample.id, sample.issue?.[0]];
  sample.words = searched.filter(Boolean).join("\n").toLowerCase();
}

function hasFlag(sample, flag) {
  return flag === "*" ? marksOf(sample).length > 0 : (sample.flags ?? []).includes(flag);
}

/** Whether a sample is what is asked for; an empty answer asks for nothing. */
function fits(sample) {
  return (
    (!asked.class || sample.class === Number(asked.class)) &&
    (!asked.flag || hasFlag(sample, asked.flag)) &&
    (!asked.split || (sample.split ?? "-") === asked.split) &&
    (!asked.source || sample.source === asked.source) &&
    (!asked.decided || sample.decided === asked.decided) &&
    (!asked.text || asked.text.split(/\s+/).every((word) => sample.words.includes(word)))
  );
}

const distinct = (values) => [...new Set(values)].sort();

/** What can be asked for: of each filter, pairs of a value and its words. */
function choices() {
  const flags = distinct(samples.flatMap((sample) => sample.flags ?? []));
  const marks = Object.keys(MARKS).filter((flag) => flags.includes(flag));
  const others = flags.filter((flag) => !(flag in MARKS));
  const splits = [...SPLITS, "-"].filter((split) => samples.some((sample) => (sample.split ?? "-") === split));
  return {
    class: classes.map((one, place) => [String(place), one.name]),
    flag: [...(marks.length > 1 ? [["*", words("any flag")]] : []), ...[...marks, ...others].map((flag) => [flag, flagWords(flag)])],
    split: splits.map((split) => [split, split === "-" ? words("none") : words(split)]),
    source: distinct(samples.map((sample) => sample.source).filter(Boolean)).map((source) => [source, source]),
    decided: distinct(samples.map((sample) => sample.decided).filter(Boolean)).map((who) => [who, words(who)]),
  };
}
