// Each class with its faces: a part of each class at first, the rest when it is asked for.

const FIRST = 24;
const whole = new Set();

/** Where a sample's picture lies in its sheet, in pixels. */
function placeOf(sample) {
  const within = sample.slot % slots;
  return { sheet: Math.floor(sample.slot / slots), x: (within % across) * side, y: Math.floor(within / across) * side };
}

// One rule a sheet, so that its long address stands nowhere else.
const sheetRules = document.styleSheets[0];
sheets.forEach((sheet, place) => sheetRules.insertRule(`.sheet-${place} { background-image: url("${sheet.src}"); }`));

/** The picture of a sample, its longer side of `pixels`. */
function pictureOf(sample, pixels) {
  if (!sample.size) return element("span", { class: "missing", text: words("cannot be shown") });
  const { sheet, x, y } = placeOf(sample);
  const [width, height] = sample.size;
  const scale = pixels / side;
  const drawn = element("span", { class: `picture sheet-${sheet}` });
  Object.assign(drawn.style, {
    width: `${Math.floor(width * scale)}px`,
    height: `${Math.floor(height * scale)}px`,
    backgroundPosition: `${-x * scale}px ${-y * scale}px`,
    backgroundSize: `${sheets[sheet].naturalWidth * scale}px`,
  });
  return drawn;
}

/** What a sample is, for who does not see it. */
function spoken(sample) {
  const marks = sample.aside ? [words("copy, set aside")] : marksOf(sample).map(flagWords);
  return [classes[sample.class].name, ...(sample.split ? [words(sample.split)] : []), ...marks].join(", ");
}

function markOf(flag) {
  return element("span", { class: `mark ${flag}`, text: MARKS[flag], title: flagWords(flag), "aria-hidden": "true" });
}

function faceOf(sample, open, pixels = side) {
  const marks = marksOf(sample);
  const worst = marks.find((mark) => mark !== "duplicate") ?? "";
  return element(
    "button",
    { type: "button", class: `face ${worst}${sample.aside ? " aside" : ""}`, "aria-label": spoken(sample), "data-slot": sample.slot, onclick: open },
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

/** What is said of a class beside its name. */
function standing(place, found) {
  const { total } = classes[place];
  const kept = found.filter((sample) => !sample.aside);
  const counted = (label, test) => {
    const count = kept.filter(test).length;
    return count ? [`${label} ${number(count)}`] : [];
  };
  return [
    kept.length === total ? number(total) : words("{shown} of {total}", { shown: number(kept.length), total: number(total) }),
    ...SPLITS.flatMap((split) => counted(words(split), (sample) => sample.split === split)),
    ...Object.keys(MARKS).flatMap((flag) => counted(`${MARKS[flag]} ${flagWords(flag)}`, (sample) => hasFlag(sample, flag))),
  ].join(" · ");
}

/** The section of a class; none where nothing of it fits. */
function classSection(place, found) {
  const { name } = classes[place];
  const few = whole.has(place) || found.length <= FIRST + 6 ? found : found.slice(0, FIRST);
  const title = element("h2", { id: `class-${place}` }, named(name));
  const section = element("section", { "aria-labelledby": `class-${place}` }, title, element("p", { text: standing(place, found) }));
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
