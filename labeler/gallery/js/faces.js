// Each class with its faces: a part of each class at first, the rest when it is asked for.

const FIRST = 24;
const whole = new Set();

/** The picture of a sample, its longer side of `pixels`. */
function pictureOf(sample, pixels) {
  if (!sample.image) return element("span", { class: "missing", text: words("cannot be shown") });
  return element("img", { class: "picture", src: sample.image, alt: "", width: pixels, height: pixels });
}

/** What a sample is, for who does not see it. */
function spoken(sample) {
  return [classes[sample.class].name, ...(sample.split ? [words(sample.split)] : []), ...marksOf(sample).map(flagWords)].join(", ");
}

function markOf(flag) {
  return element("span", { class: `mark ${flag}`, text: MARKS[flag], title: flagWords(flag), "aria-hidden": "true" });
}

function faceOf(sample, open, pixels = side) {
  const marks = marksOf(sample);
  const worst = marks.find((mark) => mark !== "duplicate") ?? "";
  return element(
    "button",
    { type: "button", class: `face ${worst}`, "aria-label": spoken(sample), "data-slot": sample.slot, onclick: open },
    pictureOf(sample, pixels),
    element("span", { class: "marks" }, ...marks.map(markOf)),
  );
}

/** One list of faces: a stop for the Tab key, in which the arrows walk. */
function faceList(some, label, pixels) {
  const list = element("ul", { class: "faces", "aria-label": label, onkeydown: walk });
  const open = (event) => look(some, Number(event.currentTarget.dataset.slot));
  list.append(...some.map((sample) => element("li", {}, faceOf(sample, open, pixels))));
  list.querySelectorAll(".face").forEach((face, place) => (face.tabIndex = place ? -1 : 0));
  return list;
}

function walk(event) {
  const faces = [...event.currentTarget.querySelectorAll(".face")];
  const here = faces.indexOf(document.activeElement);
  const columns = faces.filter((face) => face.offsetTop === faces[0].offsetTop).length;
  const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns, Home: -here, End: faces.length - 1 - here };
  if (here < 0 || !(event.key in steps)) return;
  event.preventDefault();
  const next = faces[Math.min(Math.max(here + steps[event.key], 0), faces.length - 1)];
  faces[here].tabIndex = -1;
  next.tabIndex = 0;
  next.focus();
}

/** What is said of a class beside its name; a mark is a button that shows what has it. */
function standing(place, found) {
  const { total } = classes[place];
  const inSplit = (split) => {
    const count = found.filter((sample) => sample.split === split).length;
    return count ? [`${words(split)} ${number(count)}`] : [];
  };
  const counts = [
    found.length === total ? number(total) : words("{shown} of {total}", { shown: number(found.length), total: number(total) }),
    ...SPLITS.flatMap(inSplit),
  ].join(" · ");
  const { name } = classes[place];
  const how = ofClasses ? [] : [element("code", { text: `labeler label NAME --${facts.sections} ${name}` })];
  const note = facts.notes?.[name] ? [element("p", { text: facts.notes[name] })] : [];
  return element("div", { class: "found" }, element("p", { text: counts }), ...note, ...how, ...markButtons(place));
}

/** A button for each mark of a class, or (null) of all: it shows what has the mark, and all again. */
function markButtons(place) {
  const some = classes.filter((_, number) => place === null || number === place);
  const here = samples.filter((sample) => place === null || sample.class === place);
  return Object.keys(MARKS).flatMap((flag) => {
    const total = some.reduce((sum, one) => sum + one.marked[flag], 0);
    const shown = here.filter((sample) => hasFlag(sample, flag)).length;
    if (!total) return [];
    const counted = shown === total ? number(total) : words("{shown} of {total}", { shown: number(shown), total: number(total) });
    const pressed = asked.flag === flag && asked.class === (place === null ? "" : String(place));
    const attributes = { type: "button", class: "only", "aria-pressed": String(pressed), "data-mark": flag, disabled: shown ? null : "", onclick: () => onlyMarked(flag, place, !pressed) };
    return [element("button", attributes, markOf(flag), ` ${flagWords(flag)} `, element("b", { text: counted }))];
  });
}

/** Label issues, then the rest. */
function markedFirst(found) {
  return [...found.filter((sample) => hasFlag(sample, "issue")), ...found.filter((sample) => !hasFlag(sample, "issue"))];
}

/** The section of a class; none where nothing of it fits. */
function classSection(place, some) {
  const { name } = classes[place];
  const found = markedFirst(some);
  const few = !ofClasses || whole.has(place) || found.length <= FIRST + 6 ? found : found.slice(0, FIRST);
  const title = element("h2", { id: `class-${place}` }, named(name));
  const section = element("section", { "aria-labelledby": `class-${place}` }, title, standing(place, found));
  section.append(faceList(few, name, side));
  if (few.length < found.length) {
    const more = () => {
      whole.add(place);
      const all = classSection(place, found);
      section.replaceWith(all);
      all.querySelectorAll(".face")[FIRST].focus();
    };
    section.append(element("button", { type: "button", class: "all", text: words("Show all {count}", { count: number(found.length) }), onclick: more }));
  }
  return section;
}

function showClasses(found) {
  const parts = classes.map((_, place) => found.filter((sample) => sample.class === place));
  const sections = parts.flatMap((part, place) => (part.length ? [classSection(place, part)] : []));
  byId("classes").replaceChildren(...(sections.length ? sections : [element("p", { class: "note", text: words("Nothing matches.") })]));
}
