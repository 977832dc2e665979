// What a person asks for, and everything shown anew when that changes.

const FILTERS = ["class", "flag", "split", "source", "decided"];

function fillChoices() {
  for (const [name, pairs] of Object.entries(choices())) {
    const list = byId(name);
    list.replaceChildren(element("option", { value: "", text: words("any") }), ...pairs.map(([value, text]) => element("option", { value, text })));
    list.value = asked[name];
    list.closest("label").hidden = pairs.length < (name === "flag" ? 1 : 2);
  }
}

function show() {
  const found = samples.filter(fits);
  const set = FILTERS.filter((name) => asked[name]).length;
  byId("set").hidden = !set;
  byId("set").textContent = number(set);
  byId("marked").replaceChildren(...markButtons(null));
  byId("count").textContent = set || asked.text ? words("{count} match", { count: number(found.length) }) : "";
  showClasses(found);
}

/** Show what has a mark, of one class or (null) of all; with `wanted` false all of them again. */
function onlyMarked(flag, place, wanted) {
  asked.flag = byId("flag").value = wanted ? flag : "";
  asked.class = byId("class").value = wanted && place !== null ? String(place) : "";
  show();
  const shown = place === null ? byId("marked") : byId(`class-${place}`).parentElement;
  shown.querySelector(`[data-mark="${flag}"]`).focus();
}

function showAll() {
  for (const name of FILTERS) asked[name] = byId(name).value = "";
  asked.text = byId("text").value = "";
  show();
}

function speakAll(wanted) {
  speak(wanted);
  byId("language").value = wanted;
  const total = classes.reduce((sum, one) => sum + one.total, 0);
  const shown = classes.reduce((sum, one) => sum + one.shown, 0);
  const whole = shown === total;
  const inClasses = whole ? "All {total} samples, classes: {classes}" : "{shown} of {total} samples shown, classes: {classes}";
  const inClusters = whole ? "All {total} pending samples in {classes} clusters" : "{shown} of {total} pending samples shown, in {classes} clusters";
  const inTracks = whole ? "All {total} pending samples in {classes} tracks" : "{shown} of {total} pending samples shown, in {classes} tracks";
  const summary = { class: inClasses, cluster: inClusters, track: inTracks };
  byId("summary").textContent = words(summary[facts.sections], { shown: number(shown), total: number(total), classes: number(classes.length) });
  fillChoices();
  show();
}

for (const name of FILTERS) {
  byId(name).addEventListener("change", (event) => {
    asked[name] = event.target.value;
    show();
  });
}
byId("text").addEventListener("input", (event) => {
  asked.text = event.target.value.trim().toLowerCase();
  show();
});
byId("more").addEventListener("click", () => {
  const open = byId("filters").hidden;
  byId("filters").hidden = !open;
  byId("more").setAttribute("aria-expanded", open);
});
byId("clear").addEventListener("click", showAll);
byId("language").addEventListener("change", (event) => speakAll(event.target.value));

speakAll(language);
