// A closer look at one sample: its picture, why it is marked, where it is from.

let seen = [];
let looked = 0;

/** Open the look at the sample of a number, among `some` that Before and After walk through. */
function look(some, slot) {
  seen = some;
  looked = some.findIndex((sample) => sample.slot === slot);
  showLook();
  if (!byId("look").open) byId("look").showModal();
}

function turn(step) {
  const next = looked + step;
  if (next < 0 || next >= seen.length) return;
  looked = next;
  showLook();
}

function showLook() {
  const sample = seen[looked];
  byId("look-name").replaceChildren(named(classes[sample.class].name));
  const larger = pictureOf(sample, Math.round(Math.max(side, Math.min(224, innerHeight / 3))));
  larger.setAttribute("role", "img");
  larger.setAttribute("aria-label", spoken(sample));
  byId("look-picture").replaceChildren(larger);
  byId("look-marks").replaceChildren(...whyMarked(sample).map(([flag, text]) => element("span", {}, ...(MARKS[flag] ? [markOf(flag), " "] : []), text)));
  byId("look-facts").replaceChildren(...listFacts(sample).flatMap(([term, value]) => [element("dt", { text: words(term) }), element("dd", {}, value)]));
  byId("before").disabled = looked === 0;
  byId("after").disabled = looked === seen.length - 1;
}

function whyMarked(sample) {
  return (sample.flags ?? []).map((flag) => {
    const [name, sure] = sample.issue ?? [];
    if (flag === "issue") return [flag, `${words("suggested class: {name} ({percent})", { name: `\u2068${name}\u2069`, percent: percent(sure) })}, ${words("by a model not trained on it")}`];
    return [flag, flagWords(flag)];
  });
}

const clock = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;

function listFacts(sample) {
  const page = sample.page && element("a", { href: sample.page, target: "_blank", rel: "noopener noreferrer" }, named(sample.page));
  const rows = [
    ["Split", sample.split && words(sample.split)],
    ["Labelled by", sample.decided && words(sample.decided)],
    ["Weak label", sample.hint],
    ["Found by", [sample.detector, sample.score].filter((value) => value !== undefined).join(", ")],
    ["Source", sample.source],
    ["Title", sample.title],
    ["Time in the video", sample.time !== undefined && clock(sample.time)],
    ["Author", sample.author],
    ["Licence", sample.licence],
    ["Page", page],
    ["Sample", sample.id],
  ];
  return rows.filter(([, value]) => value).map(([term, value]) => [term, typeof value === "string" ? named(value) : value]);
}

byId("before").addEventListener("click", () => turn(-1));
byId("after").addEventListener("click", () => turn(1));
byId("close").addEventListener("click", () => byId("look").close());
byId("look").addEventListener("click", (event) => event.target === byId("look") && byId("look").close());
byId("look").addEventListener("keydown", (event) => {
  if (document.activeElement?.closest(".faces")) return;
  if (event.key === "ArrowRight") turn(1);
  if (event.key === "ArrowLeft") turn(-1);
});
